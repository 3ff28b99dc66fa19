//! The officers' recovery key: seals keys for the day when no TPM is left.
//!
//! HPKE (RFC 9180) in base mode: DHKEM(X25519, HKDF-SHA-256), HKDF-SHA-256, AES-256-GCM. A sealed value is
//! `version ‖ encapsulated key (32) ‖ ciphertext ‖ tag (16)`. The private half is split into [`Share`]s.

use holdfast_domain::RecoveryKey;
use hpke::{
    Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use zeroize::Zeroizing;

use crate::{
    entropy::{EntropyError, SystemRng},
    fixed_bytes::fixed_bytes_serde,
    hash::LenPrefixed,
    labels::{self, Label},
    secret::{KEY_LEN, Secret32},
    share::{self, CombineError, Share, SplitError},
};

/// Format of values sealed to the recovery key.
const VERSION: u8 = 1;
/// Bytes of an encapsulated key.
const ENCAPPED_LEN: usize = 32;
/// Largest value that is sealed: keys, CA keys and small bundles of them.
pub const MAX_SEALED_PLAIN: usize = 64 << 10;
/// Bytes that sealing adds.
pub const SEAL_OVERHEAD: usize = 1 + ENCAPPED_LEN + 16;

pub(crate) type PrivateKey = <X25519HkdfSha256 as hpke::Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as hpke::Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as hpke::Kem>::EncappedKey;

/// Why a value was not sealed to the recovery key, or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// No randomness.
    #[error("no ephemeral key")]
    Entropy(#[from] EntropyError),
    /// The value exceeds [`MAX_SEALED_PLAIN`].
    #[error("too large to seal: {0} bytes")]
    TooLarge(usize),
    /// The public key cannot be sealed to.
    #[error("not a usable recovery key")]
    PublicKey,
    /// Written by a version of Holdfast that this one does not know.
    #[error("format {0} of a value sealed to the recovery key is unknown to this program")]
    Version(u8),
    /// Wrong key, wrong info, or not the bytes that were sealed.
    #[error("value sealed to the recovery key was refused")]
    Refused,
}

/// The public half of the recovery key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecoveryPublic([u8; KEY_LEN]);

impl RecoveryPublic {
    /// Reads the 32 bytes of an X25519 public key.
    ///
    /// # Errors
    /// For any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecoveryError> {
        bytes.try_into().map(Self).map_err(|_| RecoveryError::PublicKey)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

fixed_bytes_serde!(RecoveryPublic);

impl From<RecoveryKey> for RecoveryPublic {
    fn from(key: RecoveryKey) -> Self {
        Self(*key.as_bytes())
    }
}

impl From<RecoveryPublic> for RecoveryKey {
    fn from(key: RecoveryPublic) -> Self {
        Self::new(key.0)
    }
}

impl std::fmt::Debug for RecoveryPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RecoveryPublic({})", hex::encode(self.0))
    }
}

/// Seals a value for the officers. `info` says what it is (cluster, key, generation) and is needed to open it.
///
/// # Errors
/// See [`RecoveryError`].
pub fn seal_to_recovery(to: &RecoveryPublic, info: &[u8], plain: &[u8]) -> Result<Vec<u8>, RecoveryError> {
    seal_to(&to.0, labels::RECOVERY_SEAL, info, plain)
}

/// HPKE to any X25519 key of ours, each purpose under its own label.
pub(crate) fn seal_to(
    to: &[u8; KEY_LEN],
    label: Label,
    info: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, RecoveryError> {
    if plain.len() > MAX_SEALED_PLAIN {
        return Err(RecoveryError::TooLarge(plain.len()));
    }
    let public = PublicKey::from_bytes(to).map_err(|_| RecoveryError::PublicKey)?;
    let mut rng = SystemRng::default();
    let (encapped, ciphertext) = hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        &hpke_info(label, info),
        plain,
        &[VERSION],
        &mut rng,
    )
    .map_err(|_| RecoveryError::PublicKey)?;
    rng.finish()?;
    Ok([&[VERSION], encapped.to_bytes().as_slice(), &ciphertext].concat())
}

fn hpke_info(label: Label, info: &[u8]) -> Vec<u8> {
    LenPrefixed::new(label).field(info).into_bytes()
}

/// The private half of the recovery key. Exists whole only at genesis and during a recovery.
///
/// ```compile_fail,E0277
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<holdfast_keys::RecoverySecret>();
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_keys::RecoverySecret>();
/// ```
pub struct RecoverySecret(Secret32);

impl RecoverySecret {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        // Any 32 bytes are an X25519 private key: the function clamps them.
        Secret32::generate().map(Self)
    }

    /// The public half.
    pub fn public(&self) -> RecoveryPublic {
        RecoveryPublic(public_of(&self.0))
    }

    /// Opens a value that was sealed with [`seal_to_recovery`] under the same `info`.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn open(&self, info: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
        open_with(&self.private(), labels::RECOVERY_SEAL, info, sealed)
    }

    /// Splits the key into `shares` shares of which any `threshold` combine.
    ///
    /// # Errors
    /// For a threshold that no such number of shares can have, or without randomness.
    pub fn split(&self, threshold: u8, shares: u8) -> Result<Vec<Share>, SplitError> {
        share::split(&self.0, threshold, shares)
    }

    /// Puts the key together again.
    ///
    /// # Errors
    /// When shares are too few, repeated, of different splits, or not genuine.
    pub fn combine(shares: &[Share]) -> Result<Self, CombineError> {
        share::combine(shares).map(Self)
    }

    fn private(&self) -> PrivateKey {
        private(&self.0)
    }

    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }
}

/// Opens what [`seal_to`] sealed.
pub(crate) fn open_with(
    key: &PrivateKey,
    label: Label,
    info: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, RecoveryError> {
    if sealed.len() > MAX_SEALED_PLAIN + SEAL_OVERHEAD {
        return Err(RecoveryError::TooLarge(sealed.len()));
    }
    let (&version, sealed) = sealed.split_first().ok_or(RecoveryError::Refused)?;
    if version != VERSION {
        return Err(RecoveryError::Version(version));
    }
    let (encapped, ciphertext) = sealed.split_at_checked(ENCAPPED_LEN).ok_or(RecoveryError::Refused)?;
    let encapped = EncappedKey::from_bytes(encapped).map_err(|_| RecoveryError::Refused)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        key,
        &encapped,
        &hpke_info(label, info),
        ciphertext,
        &[VERSION],
    )
    .map(Zeroizing::new)
    .map_err(|_| RecoveryError::Refused)
}

/// The public half of any X25519 key of ours.
pub(crate) fn public_of(secret: &Secret32) -> [u8; KEY_LEN] {
    X25519HkdfSha256::sk_to_pk(&private(secret)).to_bytes().into()
}

#[expect(
    clippy::expect_used,
    reason = "an X25519 private key is any 32 bytes; only another length is refused"
)]
pub(crate) fn private(secret: &Secret32) -> PrivateKey {
    PrivateKey::from_bytes(secret.expose_for_wrapping()).expect("32 bytes")
}

#[cfg(test)]
mod tests;
