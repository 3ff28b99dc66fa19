//! What a client signs to register its key or to renew its leaf: written by the client, checked by the registry, bound to one
//! TLS connection by its exporter.

use holdfast_domain::{AccountId, ClientId, ClusterId, InvitePublic};

use crate::{
    hash::{LenPrefixed, sha256},
    labels,
};

/// Everything a registration is about. Signed twice with `sign_raw`: by the client's key and by the invite's.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The cluster to register with.
    pub cluster: ClusterId,
    /// TLS exporter of the connection that carries the request.
    pub exporter: &'a [u8; 32],
    /// The new account, named by its client.
    pub account: AccountId,
    /// The new key's id.
    pub client: ClientId,
    /// PKCS#10 for the key.
    pub csr: &'a [u8],
    /// The invite that is used up.
    pub invite: InvitePublic,
}

/// A fresh leaf for a registered key. Signed with `sign_raw` by that key.
#[derive(Debug, Clone, Copy)]
pub struct Renewal<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// TLS exporter of the connection that carries the request.
    pub exporter: &'a [u8; 32],
    /// The key's id.
    pub client: ClientId,
    /// PKCS#10 for the same key.
    pub csr: &'a [u8],
}

impl Registration<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, exporter, account, client, csr, invite } = self;
        LenPrefixed::new(labels::REGISTRATION)
            .field(b"register/v1")
            .field(cluster.as_bytes())
            .field(*exporter)
            .field(account.as_bytes())
            .field(client.as_bytes())
            .field(&sha256(csr))
            .field(invite.as_bytes())
            .into_bytes()
    }
}

impl Renewal<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, exporter, client, csr } = self;
        LenPrefixed::new(labels::REGISTRATION)
            .field(b"renew/v1")
            .field(cluster.as_bytes())
            .field(*exporter)
            .field(client.as_bytes())
            .field(&sha256(csr))
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_changes_the_message() {
        let base = Registration {
            cluster: ClusterId::new([1; 16]),
            exporter: &[2; 32],
            account: AccountId::new([3; 16]),
            client: ClientId::new([4; 16]),
            csr: b"csr",
            invite: InvitePublic::new([5; 32]),
        };
        let others = [
            Registration { cluster: ClusterId::new([9; 16]), ..base },
            Registration { exporter: &[9; 32], ..base },
            Registration { account: AccountId::new([9; 16]), ..base },
            Registration { client: ClientId::new([9; 16]), ..base },
            Registration { csr: b"other", ..base },
            Registration { invite: InvitePublic::new([9; 32]), ..base },
        ];
        assert!(others.iter().all(|other| other.message() != base.message()));
    }
}
