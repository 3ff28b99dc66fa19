//! Our keys as rustls sees them.

use std::{fmt, sync::Arc};

use holdfast_keys::{ClientKey, Signer};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    sign::{Signer as TlsSigner, SigningKey},
};
use rustls_pki_types::SubjectPublicKeyInfoDer;

use crate::ecdsa_der;

/// A P-256 key behind [`Signer`]. Signing blocks as long as the key does, so this is for the dialing end only.
pub(super) struct SignerKey(pub(super) Arc<dyn Signer>);

/// An Ed25519 key of an operator or client.
pub(super) struct Ed25519Key(pub(super) Arc<ClientKey>);

impl SigningKey for SignerKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        if !offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256) {
            return None;
        }
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.0.public().to_spki_der().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl TlsSigner for SignerKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = self.0.sign(message);
        let signature =
            signature.map_err(|error| rustls::Error::General(format!("signing failed: {error}")))?;
        Ok(ecdsa_der::from_fixed(&signature.0))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

impl SigningKey for Ed25519Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn TlsSigner>> {
        if !offered.contains(&SignatureScheme::ED25519) {
            return None;
        }
        Some(Box::new(Self(Arc::clone(&self.0))))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(self.0.public().to_spki_der().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl TlsSigner for Ed25519Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign_raw(message).0.to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignerKey(..)")
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Key(..)")
    }
}
