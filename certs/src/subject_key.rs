//! Public keys that we certify: P-256 for machines, P-256 or Ed25519 for people.

use holdfast_domain::SpkiHash;
use holdfast_keys::{ClientPublic, P256Public};
use rcgen::SubjectPublicKeyInfo;

/// A public key that we are willing to certify. Each has exactly one encoding, and so one hash: another one for
/// the same key would escape bans and pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKey {
    /// ECDSA on P-256.
    P256(P256Public),
    /// Ed25519, for operators and clients.
    Ed25519(ClientPublic),
}

/// Neither a P-256 point nor an Ed25519 key in the one encoding that X.509 has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a P-256 or Ed25519 SubjectPublicKeyInfo")]
pub struct SubjectKeyError;

impl SubjectKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`SubjectKeyError`] for other algorithms, invalid points and left-over bytes.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SubjectKeyError> {
        let p256 = P256Public::from_spki_der(der).ok().map(Self::P256);
        p256.or_else(|| ClientPublic::from_spki_der(der).ok().map(Self::Ed25519)).ok_or(SubjectKeyError)
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn to_spki_der(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.to_spki_der(),
            Self::Ed25519(key) => key.to_spki_der(),
        }
    }

    /// SHA-256 of [`Self::to_spki_der`].
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of_der(&self.to_spki_der())
    }

    pub(crate) fn to_rcgen(self) -> Result<SubjectPublicKeyInfo, rcgen::Error> {
        SubjectPublicKeyInfo::from_der(&self.to_spki_der())
    }
}

impl From<P256Public> for SubjectKey {
    fn from(public: P256Public) -> Self {
        Self::P256(public)
    }
}

impl From<ClientPublic> for SubjectKey {
    fn from(public: ClientPublic) -> Self {
        Self::Ed25519(public)
    }
}
