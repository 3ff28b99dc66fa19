//! What clients ask of their accounts. A voter checked the signatures on the caller's connection; whether the caller may is decided by
//! `apply`, from the rows.

use holdfast_domain::{AccountId, ClientId, LoginId, Role, SetupPublic, UnixMs};
use serde::{Deserialize, Serialize};

/// A change of an account's keys. Variants are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChange {
    /// One more key for the caller's account.
    Add {
        /// Its id.
        client: ClientId,
        /// Its Ed25519 public key.
        key: [u8; 32],
    },
    /// A key in place of the caller's.
    Rotate {
        /// Its id.
        client: ClientId,
        /// Its Ed25519 public key.
        key: [u8; 32],
    },
    /// A key of the caller's account less.
    Revoke(ClientId),
    /// The recovery key of the caller's account.
    SetRecovery([u8; 32]),
    /// With the recovery key: a new key in, all others out.
    Recover(Recover),
    /// The login that may admit keys to the caller's account.
    SetLogin(Option<LoginId>),
    /// By a node: a key whose owner it saw sign in.
    Admit(AdmitDevice),
}

/// The use of a recovery key, which signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recover {
    /// The account.
    pub account: AccountId,
    /// The recovery key that signed, and is used up.
    pub used: [u8; 32],
    /// The one that replaces it.
    pub next: [u8; 32],
    /// The new client.
    pub client: ClientId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
}

/// A short-lived key of somebody who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmitDevice {
    /// The account.
    pub account: AccountId,
    /// The new client.
    pub client: ClientId,
    /// Its Ed25519 public key.
    pub key: [u8; 32],
    /// The login, which must be the account's.
    pub login: LoginId,
    /// The end of the key.
    pub expires: UnixMs,
}

/// A change of an account's state or of a role that holds everywhere. Variants are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountChange {
    /// All rights away.
    Disable(AccountId),
    /// And back.
    Enable(AccountId),
    /// An end for ever.
    Delete(AccountId),
    /// A role that holds everywhere, or none.
    SetRole {
        /// Whose.
        account: AccountId,
        /// Which; never the highest.
        role: Option<Role>,
    },
    /// The caller's account becomes superadmin with a token whose key signed for it.
    Claim(SetupPublic),
    /// The caller's account is superadmin no more.
    StepDown,
}
