//! What a new key signs to be admitted by a login's password: written by the client, checked by the node, bound to one TLS connection by its
//! exporter, so that nobody has a key admitted that he does not hold.

use holdfast_domain::{ClientId, LoginId};

use crate::{ClientPublic, hash::LenPrefixed, labels};

/// Everything that the key says. Signed by it with `sign_raw`.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// The login, which is of one cluster.
    pub login: LoginId,
    /// TLS exporter of the connection that carries the request.
    pub exporter: &'a [u8; 32],
    /// The new key's id.
    pub client: ClientId,
    /// The new key.
    pub key: &'a ClientPublic,
}

impl SignIn<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { login, exporter, client, key } = self;
        LenPrefixed::new(labels::SIGN_IN)
            .field(b"sign-in/v1")
            .field(login.as_bytes())
            .field(*exporter)
            .field(client.as_bytes())
            .field(key.as_bytes())
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientKey;

    #[test]
    fn every_part_changes_the_message() {
        let (key, other) = (ClientKey::generate().unwrap().public(), ClientKey::generate().unwrap().public());
        let base = SignIn {
            login: LoginId::new([1; 16]),
            exporter: &[2; 32],
            client: ClientId::new([3; 16]),
            key: &key,
        };
        let others = [
            SignIn { login: LoginId::new([9; 16]), ..base },
            SignIn { exporter: &[9; 32], ..base },
            SignIn { client: ClientId::new([9; 16]), ..base },
            SignIn { key: &other, ..base },
        ];
        assert!(others.iter().all(|other| other.message() != base.message()));
    }
}
