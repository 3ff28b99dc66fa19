//! A group's database master key: made here, wrapped here, opened here. Only this module turns a wrap into a key or a
//! key into a wrap.
//!
//! Invariants: a key is durable in two independent forms, a TPM blob in our folder and the officers' copy at the registry, before the
//! group exists; a newcomer gets a wrap only after this replica has checked its evidence and the operators' signatures itself.

mod dmk;
mod newcomer;
mod operators;
mod rows;

use holdfast_domain::{GroupId, Kcv, KeyGeneration, NodeId, Reason};
use holdfast_enrol::{folder::FolderError, machine::MachineError, registries::CallError};
use holdfast_keys::{EntropyError, SignError, recovery::RecoveryError, sign};
use holdfast_tpm_node::TpmError;
use holdfast_tpm_verify::{Denial, Malformed, wrap::WrapError};

pub use dmk::{Generations, forget, found, open, receive, retire, rotate};
pub use newcomer::{Newcomer, wrap_to};
pub use rows::Keeper;

/// Generation of a group's first key.
const FIRST: KeyGeneration = KeyGeneration(1);

/// Why a key was not made, wrapped or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The registry.
    #[error("the registry does not take part")]
    Registry(#[from] CallError),
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The TPM.
    #[error("the TPM, with a wrap of group {group}")]
    Tpm {
        /// Whose key.
        group: GroupId,
        /// What went wrong.
        #[source]
        source: TpmError,
    },
    /// No randomness.
    #[error("no new key")]
    Entropy(#[from] EntropyError),
    /// A wrap could not be made.
    #[error("no wrap")]
    Wrap(#[from] WrapError),
    /// The officers' copy could not be made.
    #[error("no copy for the officers")]
    Recovery(#[from] RecoveryError),
    /// The TPM did not sign a row.
    #[error("a wrap row was not signed")]
    Sign(#[from] SignError),
    /// The sealed copy of a key is missing.
    #[error("the sealed key of group {0} is missing from the data folder")]
    Missing(GroupId),
    /// A message of the registry is malformed.
    #[error("the registry's answer: {0}")]
    Answer(&'static str),
    /// Something of the registry's does not decode.
    #[error("the registry's answer")]
    Decode(#[from] holdfast_domain::codec::CodecError),
    /// A wrap's signature does not hold.
    #[error("wrap_signature: a wrap of group {group} is not signed by node {by}")]
    Signature {
        /// Whose key.
        group: GroupId,
        /// Who is said to have signed.
        by: NodeId,
        /// What is wrong.
        #[source]
        source: sign::VerifyError,
    },
    /// A wrap by somebody who is no replica of the group.
    #[error("wrap_signature: node {by}, which wrapped the key of group {group}, is no replica of it")]
    Wrapper {
        /// Whose key.
        group: GroupId,
        /// Who wrapped.
        by: NodeId,
    },
    /// The key that a wrap opens to is another one.
    #[error(
        "wrap_mismatch: the wrap of group {group} opens to a key with check value {actual}, not {expected}"
    )]
    Mismatch {
        /// Whose key.
        group: GroupId,
        /// In the row.
        expected: Kcv,
        /// Of the key.
        actual: Kcv,
    },
    /// A generation does not fit those that are here.
    #[error("the generations of a key")]
    Generation(#[source] holdfast_keys::keyring::GenerationError),
    /// Another replica made the generation that was to be made here.
    #[error("key generation {1} of group {0} was made by another replica")]
    Overtaken(GroupId, KeyGeneration),
    /// There is no wrap for this machine.
    #[error("the registry holds no wrap of group {0} for this machine yet")]
    NoWrap(GroupId),
    /// The newcomer's evidence or admission does not verify.
    #[error("{}: node {node} gets no key", denial.reason.code())]
    Newcomer {
        /// Who.
        node: NodeId,
        /// What is wrong.
        #[source]
        denial: Denial,
    },
    /// The newcomer's admission is for something else.
    #[error("{reason}: the admission of node {node} is for another machine or role")]
    Admission {
        /// Who.
        node: NodeId,
        /// What is wrong.
        reason: Reason,
    },
    /// The genesis record's EK roots.
    #[error("the EK roots of the genesis record")]
    Roots(#[from] holdfast_tpm_verify::ek_certificate::EkRootsError),
    /// Keys of the genesis record or of evidence.
    #[error("a public key")]
    Key(#[from] Malformed),
}
