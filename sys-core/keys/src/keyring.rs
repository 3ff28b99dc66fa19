//! Keyrings: the keys of a slot sealed under the group's DMK, the keys of a partition sealed under its slot's SK.
//!
//! A sealed keyring is `version ‖ aead::seal(...)`. Its context (cluster, group, slot, generation of the outer key, partition) is
//! authenticated and not stored: a keyring moved elsewhere does not open.

mod generations;
mod partition;
mod slot;

pub use generations::{GenerationError, Generations, MAX_GENERATIONS};
pub use partition::PartitionKeyring;
pub use slot::SlotKeyring;
use zeroize::Zeroizing;

use crate::{
    aead::{self, AeadError, AeadKey},
    hash::LenPrefixed,
    labels::Label,
};

/// Format of sealed keyrings.
const VERSION: u8 = 1;

/// Why a keyring was not sealed or not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// Sealing failed, or key, context or bytes are not those of the sealing.
    #[error("keyring cannot be sealed or opened")]
    Aead(#[from] AeadError),
    /// Written by a version of Holdfast that this one does not know.
    #[error("keyring format {0} is unknown to this program")]
    Version(u8),
    /// Authentic, yet not a keyring: a defect of the program that sealed it.
    #[error("keyring is malformed")]
    Malformed,
    /// Authentic, yet its generations contradict each other.
    #[error("keyring has impossible generations")]
    Generations(#[from] GenerationError),
}

pub(crate) fn seal(
    key: &impl AeadKey,
    label: Label,
    context: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, KeyringError> {
    let mut sealed = vec![VERSION];
    sealed.extend(aead::seal(key, &aad(label, context), plain)?);
    Ok(sealed)
}

pub(crate) fn open(
    key: &impl AeadKey,
    label: Label,
    context: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    match sealed.split_first() {
        Some((&VERSION, sealed)) => Ok(aead::open_secret(key, &aad(label, context), sealed)?),
        Some((&version, _)) => Err(KeyringError::Version(version)),
        None => Err(KeyringError::Malformed),
    }
}

fn aad(label: Label, context: &[u8]) -> Vec<u8> {
    LenPrefixed::new(label).field(&[VERSION]).field(context).into_bytes()
}

#[cfg(test)]
mod tests;
