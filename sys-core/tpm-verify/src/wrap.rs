//! Wrapping a key to a newcomer's TPM. The import blob for its SRK is sealed under a secret that travels as a credential for
//! (EK, AK): only a TPM that holds both recovers it, so whoever wraps proves AK and EK to live in one TPM by itself and need not
//! trust whoever challenged the newcomer.

use holdfast_domain::{CredentialBlob, WrappedBlob};
use holdfast_keys::{AeadError, EntropyError, LenPrefixed, Secret32, WrapKey, aead, derive, labels};

use crate::credential::{self, Credential};
use crate::import::{self, ImportBlob};
use crate::name::Name;
use crate::parent::ProtectError;
use crate::policy::PolicyDigest;
use crate::roles::{EkPublic, SrkPublic};
use crate::wire::Malformed;

/// Longest sealed import blob: about 400 bytes for a P-256 SRK.
const SEALED_MAX: usize = 2048;

/// The TPM to wrap to. `holdfast_domain::WrapTarget` is the row about it.
#[derive(Clone, Copy, Debug)]
pub struct TpmTarget<'a> {
    /// Its endorsement key.
    pub ek: &'a EkPublic,
    /// The Name of its attestation key.
    pub ak_name: &'a Name,
    /// Its storage root key.
    pub srk: &'a SrkPublic,
}

/// Why a key was not wrapped or a blob not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// The operating system gave no randomness.
    #[error("no randomness for a wrap")]
    Entropy(#[from] EntropyError),
    /// Credential or import blob could not be made.
    #[error("no blob for this TPM")]
    Protect(#[from] ProtectError),
    /// The blob was not sealed for this TPM, or not under this secret.
    #[error("the wrapped blob does not open")]
    Aead(#[from] AeadError),
    /// The blob opens to something that is no import blob.
    #[error("the wrapped blob is malformed")]
    Malformed(#[from] Malformed),
}

/// Wraps `key` so that only this TPM can recover it, and unseals it only under `policy`.
///
/// # Errors
/// No randomness.
pub fn wrap_key(
    target: &TpmTarget<'_>,
    policy: &PolicyDigest,
    key: &[u8; 32],
) -> Result<WrappedBlob, WrapError> {
    let blob = import::seal(target.srk, policy, key)?;
    let secret = Secret32::generate()?;
    let credential = credential::make(target.ek, target.ak_name, secret.expose_for_wrapping())?;
    let context = context(target, credential.id_object(), credential.enc_secret());
    let sealed = aead::seal(&sealing_key(&secret, &context), context.as_bytes(), &blob.to_bytes()?)?;
    Ok(WrappedBlob { credential: credential.into(), sealed })
}

/// The node's half, after its TPM activated the credential to `secret`: the import blob for `TPM2_Import`.
///
/// # Errors
/// See [`WrapError`]; a blob for another TPM does not open.
pub fn open(
    target: &TpmTarget<'_>,
    secret: &Secret32,
    wrapped: &WrappedBlob,
) -> Result<ImportBlob, WrapError> {
    let WrappedBlob { credential: CredentialBlob { id_object, enc_secret }, sealed } = wrapped;
    if sealed.len() > SEALED_MAX {
        return Err(Malformed::TooLong("wrapped blob").into());
    }
    let context = context(target, id_object, enc_secret);
    let plain = aead::open(&sealing_key(secret, &context), context.as_bytes(), sealed)?;
    Ok(ImportBlob::parse(&plain)?)
}

/// What the blob is for. Key and AAD both depend on it.
fn context(target: &TpmTarget<'_>, id_object: &[u8], enc_secret: &[u8]) -> LenPrefixed {
    let TpmTarget { ek, ak_name, srk } = target;
    LenPrefixed::new(labels::CREDENTIAL_WRAP_KEY)
        .field(ek.name().as_bytes())
        .field(ak_name.as_bytes())
        .field(srk.name().as_bytes())
        .field(id_object)
        .field(enc_secret)
}

fn sealing_key(secret: &Secret32, context: &LenPrefixed) -> WrapKey {
    derive::credential_wrap_key(secret, context.as_bytes())
}

impl From<Credential> for CredentialBlob {
    fn from(credential: Credential) -> Self {
        let (id_object, enc_secret) = credential.into_parts();
        Self { id_object, enc_secret }
    }
}

impl TryFrom<&CredentialBlob> for Credential {
    type Error = Malformed;

    fn try_from(blob: &CredentialBlob) -> Result<Self, Malformed> {
        Self::from_parts(blob.id_object.clone(), blob.enc_secret.clone())
    }
}
