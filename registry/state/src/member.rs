//! Rows of the state.

use holdfast_domain::{
    AccountId, EkHash, NodeRole, P256Point, PendingId, ReplicaId, SignedAdmission, SpkiHash, TicketPublic,
    TpmClass, UnixMs, VoterEndpoint,
};
use serde::{Deserialize, Serialize};

use crate::command::{Joining, TpmClock};

/// By which act a machine was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdmittedBy {
    /// It founded the cluster.
    Genesis,
    /// Operators named its EK.
    Ek,
    /// It showed this ticket first.
    Ticket(TicketPublic),
    /// Operators approved its waiting join.
    Approval(PendingId),
}

impl AdmittedBy {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Genesis => "genesis",
            Self::Ek => "ek",
            Self::Ticket(_) => "ticket",
            Self::Approval(_) => "approval",
        }
    }
}

/// A machine that joined. Its row stays for ever, and with it the bond between its EK and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// What it is.
    pub role: NodeRole,
    /// Where it listens.
    pub address: String,
    /// Its EK.
    pub ek: EkHash,
    /// Its EK's SPKI, DER.
    pub ek_spki: Vec<u8>,
    /// Name of its AK.
    pub ak_name: Vec<u8>,
    /// Name of its SRK.
    pub srk_name: Vec<u8>,
    /// Its TPM-resident TLS key.
    pub tls_key: P256Point,
    /// Its listener key.
    pub listener: SpkiHash,
    /// What stands behind its TPM.
    pub class: TpmClass,
    /// Encoded `JoinEvidence` of the join that introduced its present keys.
    pub evidence: Vec<u8>,
    /// How it was let in.
    pub admitted_by: AdmittedBy,
    /// What the operators signed; none for the founder, which the genesis record names.
    pub admission: Option<SignedAdmission>,
    /// First join.
    pub joined: UnixMs,
    /// Last join or renewal.
    pub renewed: UnixMs,
    /// Clock of its last quote.
    pub clock: TpmClock,
    /// Number of its joins, from 1.
    pub incarnation: u32,
    /// Role registry: Raft id of this incarnation.
    pub replica: Option<ReplicaId>,
}

/// An EK that may join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// In which role.
    pub role: NodeRole,
    /// By which act.
    pub by: AdmittedBy,
    /// What the operators signed.
    pub admission: SignedAdmission,
}

/// A one-time ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// For which role.
    pub role: NodeRole,
    /// Void after this.
    pub expires: UnixMs,
    /// Who used it.
    pub used_by: Option<holdfast_domain::NodeId>,
    /// What the operators signed.
    pub admission: SignedAdmission,
}

/// A join that waits for approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingJoin {
    /// The machine.
    pub joining: Joining,
    /// Since when.
    pub since: UnixMs,
}

/// A one-time invite of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Quota of the new account.
    pub quota_bytes: u64,
    /// Void after this.
    pub expires: UnixMs,
}

/// A registered client key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its account.
    pub account: AccountId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// When it registered.
    pub registered: UnixMs,
}

/// How far a member of the registry's group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoterState {
    /// Receives the state.
    Learner,
    /// Receives the state, and is to vote as soon as it has it.
    Promoting,
    /// Votes.
    Voter,
}

/// A member of the registry's group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// Where and as whom to reach it.
    pub endpoint: VoterEndpoint,
    /// How far it is.
    pub state: VoterState,
}
