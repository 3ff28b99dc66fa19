//! The one AEAD: XAES-256-GCM (C2SP), with 192-bit random nonces.
//!
//! A sealed value is `nonce (24) ‖ ciphertext ‖ tag (16)`. Nonces come from the operating system, one call for a batch. A refused
//! value says nothing about why: wrong key, wrong context and damage look alike.

use xaes_256_gcm::{
    Xaes256Gcm,
    aead::{Aead as _, AeadInOut as _, KeyInit as _, Payload},
};
use zeroize::Zeroizing;

use crate::{
    entropy,
    entropy::EntropyError,
    secret::{Crk, Dmk, FileKey, SecretKey, SlotKey, ValueKey, WrapKey},
};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 24;
/// Bytes of a tag.
pub const TAG_LEN: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = NONCE_LEN + TAG_LEN;
/// Largest value that is sealed or opened at once; larger content is cut into chunks.
pub const MAX_PLAIN: usize = 64 << 20;
/// Largest number of nonces in one batch: 96 KiB of randomness.
pub const MAX_BATCH: usize = 4096;

/// A key that may seal values, and is used for nothing else.
pub trait AeadKey: SecretKey {}

impl AeadKey for Crk {}
impl AeadKey for Dmk {}
impl AeadKey for SlotKey {}
impl AeadKey for FileKey {}
impl AeadKey for ValueKey {}
impl AeadKey for WrapKey {}

/// Why a value was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AeadError {
    /// No nonce could be drawn.
    #[error("no nonce")]
    Entropy(#[source] EntropyError),
    /// The value exceeds [`MAX_PLAIN`], or the batch [`MAX_BATCH`].
    #[error("too large to seal at once: {0}")]
    TooLarge(usize),
    /// A batch was asked for more nonces than it was drawn for.
    #[error("nonce batch is used up")]
    NoncesUsedUp,
    /// Wrong key, wrong context, or not the bytes that were sealed.
    #[error("sealed value was refused")]
    Refused,
}

/// One nonce. Consumed by the value that it seals, so that it cannot seal two.
pub struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// One fresh nonce.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn draw() -> Result<Self, AeadError> {
        entropy::random_array().map(Self).map_err(AeadError::Entropy)
    }
}

/// Nonces for the values of one batch, drawn with one call.
pub struct NonceBatch {
    drawn: Vec<u8>,
}

impl NonceBatch {
    /// Draws nonces for `count` values.
    ///
    /// # Errors
    /// For more than [`MAX_BATCH`], or when the operating system gives no randomness.
    pub fn draw(count: usize) -> Result<Self, AeadError> {
        if count > MAX_BATCH {
            return Err(AeadError::TooLarge(count));
        }
        let mut drawn = vec![0; count * NONCE_LEN];
        entropy::fill(&mut drawn).map_err(AeadError::Entropy)?;
        Ok(Self { drawn })
    }

    /// For how many values there are nonces.
    pub fn left(&self) -> usize {
        self.drawn.len() / NONCE_LEN
    }

    /// Takes the next nonce.
    ///
    /// # Errors
    /// [`AeadError::NoncesUsedUp`] after as many as were drawn.
    pub fn take(&mut self) -> Result<Nonce, AeadError> {
        let (rest, nonce) = self.drawn.split_last_chunk().ok_or(AeadError::NoncesUsedUp)?;
        let (rest, nonce) = (rest.len(), Nonce(*nonce));
        self.drawn.truncate(rest);
        Ok(nonce)
    }
}

/// Seals under a fresh nonce.
///
/// # Errors
/// When no nonce could be drawn or the value is too large.
pub fn seal(key: &impl AeadKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, AeadError> {
    Cipher::new(key).seal(Nonce::draw()?, aad, plain)
}

/// Seals under a nonce of a batch.
///
/// # Errors
/// When the value is too large.
pub fn seal_with(nonce: Nonce, key: &impl AeadKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, AeadError> {
    Cipher::new(key).seal(nonce, aad, plain)
}

/// Opens data. Use [`open_secret`] for keys.
///
/// # Errors
/// [`AeadError::Refused`] unless key, context and every byte are those of the sealing.
pub fn open(key: &impl AeadKey, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
    Cipher::new(key).open(aad, sealed)
}

/// Opens a value that is wiped when dropped.
///
/// # Errors
/// As [`open`].
pub fn open_secret(key: &impl AeadKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, AeadError> {
    // Decryption is in place in the one buffer that the caller gets: no copy of the secret stays behind.
    open(key, aad, sealed).map(Zeroizing::new)
}

/// The first 8 bytes of a sealed value's tag: names this very sealing among versions of one record.
///
/// # Errors
/// [`AeadError::Refused`] when the value is too short to have been sealed.
pub fn etag(sealed: &[u8]) -> Result<[u8; 8], AeadError> {
    let tag = tag(sealed)?;
    tag.first_chunk().copied().ok_or(AeadError::Refused)
}

/// A sealed value's whole tag, for binding another value to it.
///
/// # Errors
/// [`AeadError::Refused`] when the value is too short to have been sealed.
pub fn tag(sealed: &[u8]) -> Result<[u8; TAG_LEN], AeadError> {
    if sealed.len() < OVERHEAD {
        return Err(AeadError::Refused);
    }
    sealed.last_chunk().copied().ok_or(AeadError::Refused)
}

/// A key with its schedule made, for sealing or opening many values.
pub struct Cipher(Xaes256Gcm);

impl Cipher {
    /// Prepares a key.
    pub fn new(key: &impl AeadKey) -> Self {
        Self(Xaes256Gcm::new(key.expose_for_wrapping().into()))
    }

    /// Seals under a nonce.
    ///
    /// # Errors
    /// When the value is too large.
    pub fn seal(&self, nonce: Nonce, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, AeadError> {
        if plain.len() > MAX_PLAIN {
            return Err(AeadError::TooLarge(plain.len()));
        }
        let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce.0);
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(NONCE_LEN);
        let tag = self
            .0
            .encrypt_inout_detached((&nonce.0).into(), aad, body.into())
            .map_err(|_| AeadError::TooLarge(plain.len()))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens a value.
    ///
    /// # Errors
    /// [`AeadError::Refused`] unless key, context and every byte are those of the sealing.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AeadError> {
        if sealed.len() > MAX_PLAIN + OVERHEAD {
            return Err(AeadError::TooLarge(sealed.len()));
        }
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(AeadError::Refused)?;
        self.0.decrypt(nonce.into(), Payload { msg: body, aad }).map_err(|_| AeadError::Refused)
    }
}

#[cfg(test)]
mod tests;
