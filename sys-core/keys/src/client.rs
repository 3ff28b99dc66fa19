//! Ed25519 keys: a client's own key, and the one-time keys behind join tickets and invites.

use ed25519_dalek::{
    Signature, Signer as _, SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, spki::der::pem::LineEnding},
};
use holdfast_domain::{InvitePublic, SetupPublic, Signature64, SpkiHash, TicketPublic};
use zeroize::Zeroizing;

use crate::{
    entropy::EntropyError,
    fixed_bytes::fixed_bytes_serde,
    labels::Label,
    p256_public::SignatureRefused,
    secret::Secret32,
    sign::{self, PrivateKeyError},
};

/// Everything before the key in the one DER form of an Ed25519 SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 private key; wiped when dropped.
///
/// ```compile_fail,E0277
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<holdfast_keys::ClientKey>();
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_keys::ClientKey>();
/// ```
pub struct ClientKey(SigningKey);

impl ClientKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        Secret32::generate().map(|seed| Self::from_seed(&seed))
    }

    /// The key of a seed: a join ticket or an invite is one.
    pub fn from_seed(seed: &Secret32) -> Self {
        Self(SigningKey::from_bytes(seed.expose_for_wrapping()))
    }

    /// Reads PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is no Ed25519 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, PrivateKeyError> {
        SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| PrivateKeyError::Malformed)
    }

    /// The private key as PKCS#8 PEM, for a secret file.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's signature has one.
    pub fn expose_pkcs8_pem(&self) -> Result<Zeroizing<String>, PrivateKeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| PrivateKeyError::Malformed)
    }

    /// The private key as PKCS#8 DER, for the TLS library.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's signature has one.
    pub fn expose_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        Ok(self.0.to_pkcs8_der().map_err(|_| PrivateKeyError::Malformed)?.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> ClientPublic {
        ClientPublic(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes under a label.
    pub fn sign(&self, label: Label, bytes: &[u8]) -> Signature64 {
        self.sign_raw(&sign::message(label, bytes))
    }

    /// Signs a bare message, such as a certificate request.
    pub fn sign_raw(&self, message: &[u8]) -> Signature64 {
        Signature64(self.0.sign(message).to_bytes())
    }
}

/// Bytes that are no Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key")]
pub struct ClientPublicError;

/// An Ed25519 public key: a point of the curve, and none of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientPublic([u8; 32]);

impl ClientPublic {
    /// Reads the 32 bytes.
    ///
    /// # Errors
    /// When they are no point, or one of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ClientPublicError> {
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| ClientPublicError)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| ClientPublicError)?;
        if key.is_weak() { Err(ClientPublicError) } else { Ok(Self(bytes)) }
    }

    /// Reads a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// When it is anything but an Ed25519 key.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, ClientPublicError> {
        Self::from_bytes(der.strip_prefix(&SPKI_PREFIX).ok_or(ClientPublicError)?)
    }

    /// The SubjectPublicKeyInfo, in its one DER form.
    pub fn to_spki_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.0].concat()
    }

    /// SHA-256 of [`Self::to_spki_der`].
    pub fn spki_hash(&self) -> SpkiHash {
        SpkiHash::of_der(&self.to_spki_der())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Checks a signature over `bytes` under a label.
    ///
    /// # Errors
    /// [`SignatureRefused`], whatever the reason.
    pub fn verify(
        &self,
        label: Label,
        bytes: &[u8],
        signature: &Signature64,
    ) -> Result<(), SignatureRefused> {
        self.verify_raw(&sign::message(label, bytes), signature)
    }

    /// Checks a signature over a bare message, strictly: no malleable forms.
    ///
    /// # Errors
    /// [`SignatureRefused`], whatever the reason.
    pub fn verify_raw(&self, message: &[u8], signature: &Signature64) -> Result<(), SignatureRefused> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| SignatureRefused)?;
        key.verify_strict(message, &Signature::from_bytes(&signature.0)).map_err(|_| SignatureRefused)
    }
}

fixed_bytes_serde!(ClientPublic);

impl TryFrom<TicketPublic> for ClientPublic {
    type Error = ClientPublicError;

    fn try_from(ticket: TicketPublic) -> Result<Self, ClientPublicError> {
        Self::from_bytes(ticket.as_bytes())
    }
}

impl TryFrom<InvitePublic> for ClientPublic {
    type Error = ClientPublicError;

    fn try_from(invite: InvitePublic) -> Result<Self, ClientPublicError> {
        Self::from_bytes(invite.as_bytes())
    }
}

impl TryFrom<SetupPublic> for ClientPublic {
    type Error = ClientPublicError;

    fn try_from(token: SetupPublic) -> Result<Self, ClientPublicError> {
        Self::from_bytes(token.as_bytes())
    }
}

impl From<ClientPublic> for TicketPublic {
    fn from(key: ClientPublic) -> Self {
        Self::new(key.0)
    }
}

impl From<ClientPublic> for InvitePublic {
    fn from(key: ClientPublic) -> Self {
        Self::new(key.0)
    }
}

impl From<ClientPublic> for SetupPublic {
    fn from(key: ClientPublic) -> Self {
        Self::new(key.0)
    }
}

impl std::fmt::Debug for ClientPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientPublic({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::labels;

    fn key() -> ClientKey {
        ClientKey::from_seed(&Secret32::from_bytes([0x42; 32]))
    }

    #[test]
    fn a_signature_holds_for_its_label_and_bytes_only() {
        let signature = key().sign(labels::SESSION, b"bytes");
        assert_eq!(key().public().verify(labels::SESSION, b"bytes", &signature), Ok(()));
        assert_eq!(
            key().public().verify(labels::CLIENT_REQUEST, b"bytes", &signature),
            Err(SignatureRefused)
        );
        assert_eq!(key().public().verify(labels::SESSION, b"byte", &signature), Err(SignatureRefused));
        let mut bad = signature;
        bad.0[63] ^= 1;
        assert_eq!(key().public().verify(labels::SESSION, b"bytes", &bad), Err(SignatureRefused));
    }

    #[test]
    fn a_frozen_signature_is_made_again() {
        let frozen = include_str!("../frozen/ed25519-signature-1.hex").trim();
        assert_eq!(hex::encode(key().sign(labels::SESSION, b"bytes").0), frozen);
    }

    #[test]
    fn keys_read_back_from_every_form() {
        let key = ClientKey::generate().unwrap();
        let pem = ClientKey::from_pkcs8_pem(&key.expose_pkcs8_pem().unwrap()).unwrap();
        assert_eq!(pem.public(), key.public());
        assert_eq!(ClientPublic::from_spki_der(&key.public().to_spki_der()), Ok(key.public()));
        let bytes = postcard::to_allocvec(&key.public()).unwrap();
        assert_eq!(postcard::from_bytes::<ClientPublic>(&bytes).unwrap(), key.public());
    }

    #[test]
    fn a_point_of_small_order_is_no_key() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(ClientPublic::from_bytes(&identity), Err(ClientPublicError));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = ClientPublic::from_spki_der(&bytes);
            let _ = ClientPublic::from_bytes(&bytes);
        }
    }
}
