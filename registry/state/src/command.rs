//! What can be asked of the state. A voter checks what it can, then proposes; `apply` checks again what may have changed.

use holdfast_domain::{
    AccountId, ClientId, EkHash, Genesis, GroupId, InvitePublic, KeyGeneration, NodeId, NodeRole, P256Point,
    PcrApproval, PendingId, ReplicaId, RootHash, Signed, SignedAdmission, SpiffeSubject, SpkiHash, TpmClass,
    UnixMs, WrapRow,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};

use crate::{
    changes::{AccountChange, DeviceChange},
    limits,
    map_change::PutMap,
    nodes::{FloorRow, StandingChange},
};

/// One entry of the registry's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposer's clock. The state's own clock never runs backwards: it is the greatest of these.
    pub now: UnixMs,
    /// On whose behalf, as the proposer authenticated it; the voter itself where the caller has no identity yet.
    pub by: SpiffeSubject,
    /// What is asked for.
    pub act: Act,
}

/// The changes there are. Variants are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Begins the cluster; the first command and never again.
    Found(Box<Found>),
    /// Applies an operators' request.
    Admit(SignedAdmission),
    /// A machine proved itself and is to become a member, or comes back.
    Join(Box<Joining>),
    /// A machine proved itself and nobody admitted it yet.
    JoinPending {
        /// The id under which operators see it, drawn by the proposer.
        pending: PendingId,
        /// The machine.
        joining: Box<Joining>,
    },
    /// A member proved itself again.
    Renew(Renewal),
    /// A registry machine is a learner of the registry's group.
    VoterAdded {
        /// The machine.
        node: NodeId,
        /// The Raft id that its join drew.
        replica: ReplicaId,
        /// Where it listens.
        address: String,
        /// Its pinned key.
        spki: SpkiHash,
    },
    /// Operators want a learner to vote.
    PromoteVoter(NodeId),
    /// It votes.
    VoterPromoted(NodeId),
    /// It left the group.
    VoterRemoved(NodeId),
    /// A new account's first client key.
    RegisterClient(RegisterClient),
    /// Keys in wrapped form.
    PutWraps(Vec<Signed<WrapRow>>),
    /// The next shard map.
    PutMap(PutMap),
    /// A node deleted a replica that it was told to drop.
    Dropped {
        /// The group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
    },
    /// The registry's own secrets, sealed anew.
    PutSecrets {
        /// Generation of the key that seals them.
        generation: KeyGeneration,
        /// Hash of the bytes that they replace, so that two writers cannot lose each other's change.
        replaces: holdfast_domain::Sha256Hash,
        /// The sealed bytes.
        sealed: Vec<u8>,
    },
    /// A client changes its account's keys.
    Device(DeviceChange),
    /// A client changes an account's state or role.
    Account(AccountChange),
    /// What a node says of itself.
    Describe {
        /// The node.
        node: NodeId,
        /// Its failure domain.
        zone: String,
        /// Whether a module there is to run on hardware TPMs only.
        demands_hardware: bool,
    },
    /// What a node is used for, and whether it is there.
    Standing {
        /// The node.
        node: NodeId,
        /// What changes.
        change: StandingChange,
    },
    /// What replicas had of their logs at least.
    Floors(Vec<FloorRow>),
    /// A group's slot keyrings are sealed under this generation of its key, and nothing under older ones.
    Rotated {
        /// The group.
        group: GroupId,
        /// The replica that says so.
        replica: ReplicaId,
        /// The generation.
        generation: KeyGeneration,
    },
}

/// Everything a cluster begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Signed by the root key; whoever pins the root checks it.
    pub genesis: Signed<Genesis>,
    /// The root certificate.
    pub root_der: Vec<u8>,
    /// The root's private key, sealed to the officers.
    pub sealed_root_key: Vec<u8>,
    /// CA authorities and map key, sealed under the registry's key.
    pub sealed_secrets: Vec<u8>,
    /// Boot states approved from the beginning.
    pub approvals: Vec<PcrApproval>,
    /// The first machine.
    pub founder: Joining,
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Its pinned key.
    pub spki: SpkiHash,
    /// The registry's key, wrapped to the founder and sealed to the officers.
    pub wraps: Vec<Signed<WrapRow>>,
}

/// What verification of a join's evidence established, and the evidence itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The machine.
    pub node: NodeId,
    /// What it asked to be.
    pub role: NodeRole,
    /// Where it will listen, `host:port`.
    pub address: String,
    /// Its EK.
    pub ek: EkHash,
    /// Its EK's SPKI, DER.
    pub ek_spki: Vec<u8>,
    /// Name of its AK.
    pub ak_name: Vec<u8>,
    /// Name of its SRK, to which keys are wrapped.
    pub srk_name: Vec<u8>,
    /// Its TPM-resident TLS key, which signs wraps.
    pub tls_key: P256Point,
    /// Its listener key.
    pub listener: SpkiHash,
    /// What stands behind its TPM.
    pub class: TpmClass,
    /// The configured root that its EK certificate chains to.
    pub anchor: Option<RootHash>,
    /// The quote's clock.
    pub clock: TpmClock,
    /// `codec::encode` of the `JoinEvidence`.
    pub evidence: Vec<u8>,
}

/// TPMS_CLOCK_INFO of a quote; it grows as a tuple (check 16).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpmClock {
    /// Resets since the TPM was cleared.
    pub reset: u32,
    /// Restarts and resumes since the last reset.
    pub restart: u32,
    /// Milliseconds.
    pub clock: u64,
    /// Whether no greater value of the clock was ever reported.
    pub safe: bool,
}

/// A member's renewal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The machine.
    pub node: NodeId,
    /// Where it listens now.
    pub address: String,
    /// Its new listener key.
    pub listener: SpkiHash,
    /// The quote's clock.
    pub clock: TpmClock,
    /// The quoted PCRs.
    pub pcrs: Vec<holdfast_domain::PcrValue>,
}

/// A client's registration; proofs were checked on the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterClient {
    /// The new account.
    pub account: AccountId,
    /// The new client.
    pub client: ClientId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// The invite that it used up.
    pub invite: InvitePublic,
}

impl Command {
    /// The bytes to propose.
    ///
    /// # Errors
    /// Only when a value cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// Reads a command.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, limits::MAX_COMMAND)
    }
}
