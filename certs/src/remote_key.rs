//! Our keys as rcgen sees them: rcgen encodes what is to be signed, the key (a TPM's, perhaps) signs it.

use holdfast_keys::{ClientKey, Signer};
use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm, SigningKey};

use crate::ecdsa_der;

/// A P-256 key behind [`Signer`].
pub(crate) struct RemoteP256<'a> {
    signer: &'a dyn Signer,
    point: Vec<u8>,
}

impl<'a> RemoteP256<'a> {
    pub(crate) fn new(signer: &'a dyn Signer) -> Self {
        Self { signer, point: signer.public().as_bytes().to_vec() }
    }
}

impl PublicKeyData for RemoteP256<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for RemoteP256<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.signer.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(ecdsa_der::from_fixed(&signature.0))
    }
}

/// An Ed25519 key of an operator or a client.
pub(crate) struct RemoteEd25519<'a> {
    key: &'a ClientKey,
    public: Vec<u8>,
}

impl<'a> RemoteEd25519<'a> {
    pub(crate) fn new(key: &'a ClientKey) -> Self {
        Self { key, public: key.public().as_bytes().to_vec() }
    }
}

impl PublicKeyData for RemoteEd25519<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for RemoteEd25519<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign_raw(message).0.to_vec())
    }
}
