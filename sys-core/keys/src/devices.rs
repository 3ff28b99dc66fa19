//! What clients sign to change which keys, and which rights, their account has: written by them, checked by the registry. Each message
//! names its purpose first, so that none passes for another.

use holdfast_domain::{AccountId, ClientId, ClusterId, LoginId, SetupPublic, UnixMs};

use crate::{hash::LenPrefixed, labels};

/// A new device's wish to belong to an account. A person carries it to a device that does, so it is bound to no connection. Signed with
/// `sign_raw` by the new key.
#[derive(Debug, Clone, Copy)]
pub struct DeviceRequest<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// The account.
    pub account: AccountId,
    /// The new key's id.
    pub client: ClientId,
    /// The new key.
    pub key: &'a [u8; 32],
    /// Void after this.
    pub expires: UnixMs,
}

/// A change of an account's keys, signed with `sign_raw` by the key that asks for it, on the connection that carries the request.
#[derive(Debug, Clone, Copy)]
pub struct DeviceChange<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// TLS exporter of the connection.
    pub exporter: &'a [u8; 32],
    /// Who asks.
    pub by: ClientId,
    /// For what.
    pub change: Change<'a>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// One more key.
    Add {
        /// Its id.
        client: ClientId,
        /// The key.
        key: &'a [u8; 32],
    },
    /// A key in place of the asking one; signed by the new one too.
    Rotate {
        /// Its id.
        client: ClientId,
        /// The key.
        key: &'a [u8; 32],
    },
    /// A key less.
    Revoke(ClientId),
    /// The recovery key; signed by that one too.
    Recovery(&'a [u8; 32]),
    /// The login that may admit keys.
    Login(Option<LoginId>),
}

/// A recovery: signed with `sign_raw` by the recovery key, by the one that replaces it, and by the new device's key.
#[derive(Debug, Clone, Copy)]
pub struct Recovery<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// TLS exporter of the connection that carries the request.
    pub exporter: &'a [u8; 32],
    /// The account.
    pub account: AccountId,
    /// The recovery key that is used up.
    pub used: &'a [u8; 32],
    /// The one that replaces it.
    pub next: &'a [u8; 32],
    /// The new key's id.
    pub client: ClientId,
    /// The new key.
    pub key: &'a [u8; 32],
}

/// The use of a set-up token, signed with `sign_raw` by the token's key.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// TLS exporter of the connection that carries the request.
    pub exporter: &'a [u8; 32],
    /// The account that becomes superadmin.
    pub account: AccountId,
    /// Its key that asks.
    pub client: ClientId,
    /// The token.
    pub token: SetupPublic,
}

fn begin(purpose: &[u8], cluster: ClusterId) -> LenPrefixed {
    LenPrefixed::new(labels::DEVICES).field(purpose).field(cluster.as_bytes())
}

impl DeviceRequest<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, account, client, key, expires } = self;
        begin(b"request/v1", *cluster)
            .field(account.as_bytes())
            .field(client.as_bytes())
            .field(*key)
            .number(expires.0)
            .into_bytes()
    }
}

impl DeviceChange<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, exporter, by, change } = self;
        let begin = |purpose| begin(purpose, *cluster).field(*exporter).field(by.as_bytes());
        let message = match change {
            Change::Add { client, key } => begin(b"add/v1").field(client.as_bytes()).field(*key),
            Change::Rotate { client, key } => begin(b"rotate/v1").field(client.as_bytes()).field(*key),
            Change::Revoke(client) => begin(b"revoke/v1").field(client.as_bytes()),
            Change::Recovery(key) => begin(b"recovery/v1").field(*key),
            Change::Login(login) => {
                begin(b"login/v1").field(login.as_ref().map_or(&[], |login| login.as_bytes().as_slice()))
            }
        };
        message.into_bytes()
    }
}

impl Recovery<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, exporter, account, used, next, client, key } = self;
        begin(b"recover/v1", *cluster)
            .field(*exporter)
            .field(account.as_bytes())
            .field(*used)
            .field(*next)
            .field(client.as_bytes())
            .field(*key)
            .into_bytes()
    }
}

impl Claim<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, exporter, account, client, token } = self;
        begin(b"claim/v1", *cluster)
            .field(*exporter)
            .field(account.as_bytes())
            .field(client.as_bytes())
            .field(token.as_bytes())
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([1; 16]);
    const ONE: [u8; 32] = [4; 32];
    const TWO: [u8; 32] = [5; 32];

    #[test]
    fn every_purpose_and_every_part_changes_the_message() {
        let (ann, bob) = (ClientId::new([2; 16]), ClientId::new([3; 16]));
        let of = |cluster, exporter, by, change| DeviceChange { cluster, exporter, by, change }.message();
        let changes = [
            Change::Add { client: bob, key: &ONE },
            Change::Add { client: bob, key: &TWO },
            Change::Add { client: ann, key: &ONE },
            Change::Rotate { client: bob, key: &ONE },
            Change::Revoke(bob),
            Change::Revoke(ann),
            Change::Recovery(&ONE),
            Change::Recovery(&TWO),
            Change::Login(None),
            Change::Login(Some(LoginId::new([2; 16]))),
        ];
        let mut messages: Vec<_> = changes.iter().map(|change| of(CLUSTER, &ONE, ann, *change)).collect();
        messages.push(of(ClusterId::new([9; 16]), &ONE, ann, Change::Revoke(bob)));
        messages.push(of(CLUSTER, &TWO, ann, Change::Revoke(bob)));
        messages.push(of(CLUSTER, &ONE, bob, Change::Revoke(bob)));
        let distinct: BTreeSet<_> = messages.iter().collect();
        assert_eq!(distinct.len(), messages.len());
    }

    #[test]
    fn a_request_a_recovery_and_a_claim_name_everything() {
        let (account, client) = (AccountId::new([2; 16]), ClientId::new([3; 16]));
        let request = DeviceRequest { cluster: CLUSTER, account, client, key: &ONE, expires: UnixMs(1) };
        let recovery =
            Recovery { cluster: CLUSTER, exporter: &ONE, account, used: &ONE, next: &TWO, client, key: &ONE };
        let claim = Claim { cluster: CLUSTER, exporter: &ONE, account, client, token: SetupPublic::new(ONE) };
        let messages = [
            request.message(),
            DeviceRequest { expires: UnixMs(2), ..request }.message(),
            DeviceRequest { key: &TWO, ..request }.message(),
            DeviceRequest { account: AccountId::new([9; 16]), ..request }.message(),
            recovery.message(),
            Recovery { exporter: &TWO, ..recovery }.message(),
            Recovery { used: &TWO, ..recovery }.message(),
            Recovery { next: &ONE, ..recovery }.message(),
            Recovery { key: &TWO, ..recovery }.message(),
            claim.message(),
            Claim { exporter: &TWO, ..claim }.message(),
            Claim { token: SetupPublic::new(TWO), ..claim }.message(),
            Claim { account: AccountId::new([9; 16]), ..claim }.message(),
        ];
        let distinct: BTreeSet<_> = messages.iter().collect();
        assert_eq!(distinct.len(), messages.len());
    }
}
