//! What operators sign: every act that widens access, over the exact request.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    AccountId, ClientId, ClusterId, NodeId, NodeRole, PcrApproval, PendingId, Signature64, UnixMs,
    genesis::OperatorKey, hex_id::hex_id,
};

hex_id!(
    /// SHA-256 of an endorsement key's SubjectPublicKeyInfo in DER: how operators name a TPM.
    EkHash, 32
);
hex_id!(
    /// Ed25519 public half of a one-time join ticket. The ticket itself is the seed and is never sent.
    TicketPublic, 32
);
hex_id!(
    /// Ed25519 public half of a one-time client invite.
    InvitePublic, 32
);
hex_id!(
    /// Ed25519 public half of a one-time set-up token, which makes one account superadmin.
    SetupPublic, 32
);
hex_id!(
    /// Makes each operators' request unique, so that it applies once.
    RequestSerial, 16
);

impl EkHash {
    /// Hashes an EK's SPKI.
    pub fn of_spki(der: &[u8]) -> Self {
        Self::new(Sha256::digest(der).into())
    }
}

/// A short name: 1 to 63 of `a-z 0-9 -`, beginning with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

/// A text that is no [`OperatorName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 63 of a-z, 0-9 and '-', not beginning with '-'")]
pub struct NameError;

impl OperatorName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let length = (1..=63).contains(&text.len());
        if length && !text.starts_with('-') && text.bytes().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError)
        }
    }
}

impl TryFrom<String> for OperatorName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<OperatorName> for String {
    fn from(name: OperatorName) -> Self {
        name.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Who is banned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BanSubject {
    /// A machine, by its node id: registry and node identities alike.
    Node(NodeId),
    /// A client key.
    Client(ClientId),
    /// All clients of an account.
    Account(AccountId),
    /// An operator's name.
    Operator(OperatorName),
}

/// An act that widens access, or takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorRequest {
    /// Admit the machine with this EK in this role.
    AllowEk {
        /// The machine.
        ek: EkHash,
        /// Its role.
        role: NodeRole,
    },
    /// Admit the machine of a waiting join.
    Approve {
        /// The waiting join.
        pending: PendingId,
        /// Its EK, so that the signature names the machine itself.
        ek: EkHash,
        /// Its role.
        role: NodeRole,
    },
    /// Admit whichever genuine machine first shows this ticket.
    IssueTicket {
        /// The ticket's public half.
        ticket: TicketPublic,
        /// The role it admits to.
        role: NodeRole,
        /// It is void after this moment.
        expires: UnixMs,
    },
    /// Approve a boot state.
    ApprovePcrs(PcrApproval),
    /// Invite one client.
    Invite {
        /// The invite's public half.
        invite: InvitePublic,
        /// Bytes that the new account may store.
        quota_bytes: u64,
        /// It is void after this moment.
        expires: UnixMs,
    },
    /// Take all rights from someone.
    Ban(BanSubject),
    /// Give them back.
    Unban(BanSubject),
    /// Replace the set of operators.
    SetOperators {
        /// The new set.
        operators: Vec<OperatorKey>,
        /// How many must sign from now on.
        threshold: u8,
        /// EKs of machines that earlier operators admitted and that stay admitted. Every other admission of theirs is void: whoever
        /// was removed could sign another one at any time, and write an earlier date into it.
        keep: Vec<EkHash>,
    },
    /// Let whichever account first shows this token become superadmin.
    SetupToken {
        /// The token's public half.
        token: SetupPublic,
        /// It is void after this moment.
        expires: UnixMs,
    },
}

/// A request as the operators sign it: once, in this cluster, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// The cluster it is for.
    pub cluster: ClusterId,
    /// The operators who sign it: number of changes of the operators since the genesis record.
    pub set: u32,
    /// Unique, so that it applies once.
    pub serial: RequestSerial,
    /// When it was written.
    pub issued: UnixMs,
    /// It must be applied before this moment.
    pub expires: UnixMs,
    /// What is asked for.
    pub request: OperatorRequest,
}

/// An [`Admission`]'s exact bytes with operators' signatures over them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAdmission {
    /// `codec::encode` of the [`Admission`].
    pub bytes: Vec<u8>,
    /// Who signed, with ECDSA P-256 under the admission label.
    pub signatures: Vec<(OperatorName, Signature64)>,
}

/// Largest encoded [`Admission`] that anyone accepts, in bytes.
pub const MAX_ADMISSION: usize = 64 * 1024;
