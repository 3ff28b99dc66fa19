//! Signing with P-256, in software or in a TPM, always under a label.

use holdfast_domain::{
    Signature64, Signed,
    codec::{self, CodecError},
};
use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding},
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    entropy::EntropyError,
    hash::LenPrefixed,
    labels::Label,
    p256_public::{P256Public, SignatureRefused},
    secret::Secret32,
};

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The key refused, or could not be reached: a TPM says why.
    #[error("signing failed")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The value has no encoding.
    #[error("value cannot be encoded")]
    Encode(#[source] CodecError),
}

/// Why a signed value is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// The signature holds, and what was signed is no such value.
    #[error("signed bytes are malformed")]
    Decode(#[source] CodecError),
}

/// Why a private key cannot be made or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// No randomness.
    #[error("no new key")]
    Entropy(#[from] EntropyError),
    /// Not the PKCS#8 form of a key of this kind.
    #[error("not a PKCS#8 private key of this kind")]
    Malformed,
}

/// Whoever can sign with a P-256 key. May block for a TPM: never call it on an async thread.
pub trait Signer: Send + Sync {
    /// The public half.
    fn public(&self) -> P256Public;

    /// ECDSA with SHA-256 over the message, as `r ‖ s`. Signing values goes through [`sign_labelled`].
    ///
    /// # Errors
    /// When the key refuses or cannot be reached.
    fn sign(&self, message: &[u8]) -> Result<Signature64, SignError>;
}

/// Signs bytes under a label: the signed message is `len(label) ‖ label ‖ bytes`, the length as 32-bit big-endian.
///
/// # Errors
/// When the key refuses or cannot be reached.
pub fn sign_labelled(signer: &dyn Signer, label: Label, bytes: &[u8]) -> Result<Signature64, SignError> {
    signer.sign(&message(label, bytes))
}

/// Encodes a value and signs exactly those bytes.
///
/// # Errors
/// When the value has no encoding or the key refuses.
pub fn sign_value<T: Serialize>(
    signer: &dyn Signer,
    label: Label,
    value: &T,
) -> Result<Signed<T>, SignError> {
    let bytes = codec::encode(value).map_err(SignError::Encode)?;
    let signature = sign_labelled(signer, label, &bytes)?;
    Ok(Signed::from_parts(bytes, signature))
}

/// Checks the signature, and only then decodes the value, of at most `max` bytes.
///
/// # Errors
/// See [`VerifyError`].
pub fn verify_value<T: DeserializeOwned>(
    signed: &Signed<T>,
    key: &P256Public,
    label: Label,
    max: usize,
) -> Result<T, VerifyError> {
    key.verify(label, &signed.bytes, &signed.signature)?;
    codec::decode(&signed.bytes, max).map_err(VerifyError::Decode)
}

pub(crate) fn message(label: Label, bytes: &[u8]) -> Vec<u8> {
    let mut message = LenPrefixed::new(label).into_bytes();
    message.extend_from_slice(bytes);
    message
}

/// A P-256 key in memory; wiped when dropped.
///
/// ```compile_fail,E0277
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<holdfast_keys::SoftSigner>();
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_keys::SoftSigner>();
/// ```
pub struct SoftSigner {
    key: SigningKey,
    public: P256Public,
}

impl SoftSigner {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, PrivateKeyError> {
        // A random scalar is out of range with probability 2^-32; four misses in a row mean that it is not random.
        for _ in 0..4 {
            let scalar = Secret32::generate()?;
            if let Ok(key) = SigningKey::from_slice(scalar.expose_for_wrapping()) {
                return Self::of(key);
            }
        }
        Err(PrivateKeyError::Malformed)
    }

    /// The key whose private scalar this is: for keys that a TPM seals, which takes 32 bytes at most.
    ///
    /// # Errors
    /// When the scalar is out of range, which a random one is with probability 2^-32.
    pub fn from_scalar(scalar: &Secret32) -> Result<Self, PrivateKeyError> {
        let key = SigningKey::from_slice(scalar.expose_for_wrapping());
        Self::of(key.map_err(|_| PrivateKeyError::Malformed)?)
    }

    /// Reads PKCS#8 DER.
    ///
    /// # Errors
    /// When it is no P-256 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PrivateKeyError> {
        Self::of(SigningKey::from_pkcs8_der(der).map_err(|_| PrivateKeyError::Malformed)?)
    }

    /// Reads PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is no P-256 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, PrivateKeyError> {
        Self::of(SigningKey::from_pkcs8_pem(pem).map_err(|_| PrivateKeyError::Malformed)?)
    }

    /// The private key as PKCS#8 DER, for a secret file, sealing, or the TLS library.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's signature has one.
    pub fn expose_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, PrivateKeyError> {
        let document = self.key.to_pkcs8_der().map_err(|_| PrivateKeyError::Malformed)?;
        Ok(document.to_bytes())
    }

    /// The private key as PKCS#8 PEM, for a secret file.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's signature has one.
    pub fn expose_pkcs8_pem(&self) -> Result<Zeroizing<String>, PrivateKeyError> {
        self.key.to_pkcs8_pem(LineEnding::LF).map_err(|_| PrivateKeyError::Malformed)
    }

    fn of(key: SigningKey) -> Result<Self, PrivateKeyError> {
        let public = P256Public::of(key.verifying_key()).map_err(|_| PrivateKeyError::Malformed)?;
        Ok(Self { key, public })
    }
}

impl Signer for SoftSigner {
    fn public(&self) -> P256Public {
        self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Signature64, SignError> {
        let signature: Signature =
            self.key.try_sign(message).map_err(|error| SignError::Key(Box::new(error)))?;
        Ok(Signature64(signature.to_bytes().into()))
    }
}

#[cfg(test)]
mod tests;
