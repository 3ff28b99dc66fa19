//! A certificate chain as it travels: leaf first, then its authority. The root is never part of it.

use serde::{Deserialize, Serialize};

use crate::{
    SubjectKey,
    limits::{MAX_CERTIFICATE_LEN, MAX_CHAIN_LEN},
    root_certificate::parse_x509,
};

/// A leaf and the authority that signed it, in DER. Not checked beyond sizes: see [`crate::verify_chain`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<u8>>", into = "Vec<Vec<u8>>")]
pub struct CertChain(Vec<Vec<u8>>);

/// A chain that is empty or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain has 1 to {MAX_CHAIN_LEN} certificates of at most {MAX_CERTIFICATE_LEN} bytes")]
pub struct ChainShapeError;

impl CertChain {
    pub(crate) fn new(leaf: Vec<u8>, authority: Vec<u8>) -> Self {
        Self(vec![leaf, authority])
    }

    /// Takes certificates in DER, leaf first.
    ///
    /// # Errors
    /// [`ChainShapeError`].
    pub fn from_ders(ders: Vec<Vec<u8>>) -> Result<Self, ChainShapeError> {
        let sizes = ders.iter().all(|der| der.len() <= MAX_CERTIFICATE_LEN);
        if (1..=MAX_CHAIN_LEN).contains(&ders.len()) && sizes { Ok(Self(ders)) } else { Err(ChainShapeError) }
    }

    /// The certificates in DER, leaf first.
    pub fn ders(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The certificates in DER, leaf first.
    pub fn into_ders(self) -> Vec<Vec<u8>> {
        self.0
    }

    /// The leaf in DER.
    pub fn leaf(&self) -> &[u8] {
        self.0.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// The key in the leaf, whoever signed that; `None` when it is no leaf with a key of ours.
    pub fn leaf_key(&self) -> Option<SubjectKey> {
        let certificate = parse_x509(self.leaf())?;
        SubjectKey::from_spki_der(certificate.public_key().raw).ok()
    }
}

impl TryFrom<Vec<Vec<u8>>> for CertChain {
    type Error = ChainShapeError;

    fn try_from(ders: Vec<Vec<u8>>) -> Result<Self, ChainShapeError> {
        Self::from_ders(ders)
    }
}

impl From<CertChain> for Vec<Vec<u8>> {
    fn from(chain: CertChain) -> Self {
        chain.0
    }
}
