//! Why a step of a move did not succeed. It is tried again, by this leader or the next.

use holdfast_domain::{GroupId, NodeId, codec::CodecError};
use holdfast_keys::{EntropyError, SignError, keyring::KeyringError, sign, transfer};
use holdfast_sys_core::Refusal;

use crate::{
    custody::CustodyError,
    groups::StepError,
    machine::{Outcome, StateError},
};

/// Why a step of a move did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The registry, or chunks.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The group.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The group's state.
    #[error("the group's state")]
    State(#[from] StateError),
    /// A keyring on its way.
    #[error(transparent)]
    Transfer(#[from] transfer::TransferError),
    /// A keyring of the group's own.
    #[error("a keyring of the group's own")]
    Keyring(#[from] KeyringError),
    /// No randomness.
    #[error("no new key")]
    Entropy(#[from] EntropyError),
    /// The TPM did not sign.
    #[error("the transfer key was not signed")]
    Sign(#[from] SignError),
    /// The target's machine does not verify.
    #[error(transparent)]
    Newcomer(#[from] CustodyError),
    /// The transfer key is not signed by the machine that shows it.
    #[error("transfer_signature: the transfer key is not signed by node {by}")]
    Signature {
        /// Who is said to have signed.
        by: NodeId,
        /// What is wrong.
        #[source]
        source: sign::VerifyError,
    },
    /// A message of the other side.
    #[error("a message of the other side")]
    Codec(#[from] CodecError),
    /// The other side answered, and refused.
    #[error("node {0}")]
    Peer(NodeId, #[source] Box<tonic::Status>),
    /// A node's address.
    #[error("node {0}")]
    Address(NodeId, #[source] holdfast_certs::DialError),
    /// Nobody of the source answers as its leader.
    #[error("nobody leads group {0}, as far as its replicas say")]
    NoLeader(GroupId),
    /// A log refused a step.
    #[error("the log of group {group} answered {step} with {outcome:?}")]
    Log {
        /// Whose.
        group: GroupId,
        /// Which step.
        step: &'static str,
        /// Its answer.
        outcome: Outcome,
    },
    /// A slot has more partitions than one command holds.
    #[error("slot {0} has too many partitions for new keys in one command")]
    TooManyPartitions(u16),
    /// Replicas lack chunks.
    #[error("replicas lack chunks of files")]
    Chunks,
    /// The process ends.
    #[error("interrupted by the end of the process")]
    Interrupted,
}
