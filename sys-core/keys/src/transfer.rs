//! The transfer key of a slot move: the group that gives slots away seals their keyrings to it, whoever carries them.
//!
//! The private half exists in the receiving group only, sealed under its DMK. `info` names cluster, move, groups and slot.

use zeroize::Zeroizing;

use crate::{
    SlotKeyring,
    entropy::EntropyError,
    keyring::{self, KeyringError},
    labels,
    recovery::{self, RecoveryError},
    secret::{Dmk, KEY_LEN, Secret32},
};

/// Why a keyring was not sealed to a transfer key, or not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Sealing, or opening what was not sealed to this key under this info.
    #[error("a keyring cannot be sealed to the transfer key, or opened with it")]
    Sealed(#[from] RecoveryError),
    /// What was sealed is no keyring.
    #[error("what came sealed to the transfer key is no keyring")]
    Keyring(#[from] KeyringError),
}

/// The public half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferPublic(pub [u8; KEY_LEN]);

impl TransferPublic {
    /// Seals a slot's keyring for whoever holds the private half.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn seal(&self, info: &[u8], keyring: &SlotKeyring) -> Result<Vec<u8>, TransferError> {
        Ok(recovery::seal_to(&self.0, labels::TRANSFER_SEAL, info, &keyring.plain())?)
    }
}

/// The private half.
///
/// ```compile_fail,E0277
/// fn printable<T: std::fmt::Debug>() {}
/// printable::<holdfast_keys::TransferSecret>();
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_keys::TransferSecret>();
/// ```
pub struct TransferSecret(Secret32);

impl TransferSecret {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        Secret32::generate().map(Self)
    }

    /// The public half.
    pub fn public(&self) -> TransferPublic {
        TransferPublic(recovery::public_of(&self.0))
    }

    /// Seals the key under its group's DMK.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn seal(&self, dmk: &Dmk, context: &[u8]) -> Result<Vec<u8>, KeyringError> {
        keyring::seal(dmk, labels::TRANSFER_SECRET, context, self.0.expose_for_wrapping())
    }

    /// Opens the key.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn unseal(dmk: &Dmk, context: &[u8], sealed: &[u8]) -> Result<Self, KeyringError> {
        let plain = keyring::open(dmk, labels::TRANSFER_SECRET, context, sealed)?;
        Secret32::from_slice(&plain).map(Self).map_err(|_| KeyringError::Malformed)
    }

    /// Opens a keyring that was sealed with [`TransferPublic::seal`] under the same `info`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn open(&self, info: &[u8], sealed: &[u8]) -> Result<SlotKeyring, TransferError> {
        let key = recovery::private(&self.0);
        let plain: Zeroizing<Vec<u8>> = recovery::open_with(&key, labels::TRANSFER_SEAL, info, sealed)?;
        Ok(SlotKeyring::from_plain(&plain)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_opens_with_its_own_transfer_key_and_info_only() {
        let (key, other) = (TransferSecret::generate().unwrap(), TransferSecret::generate().unwrap());
        let keyring = SlotKeyring::generate().unwrap();
        let sealed = key.public().seal(b"a", &keyring).unwrap();
        let opened = key.open(b"a", &sealed).unwrap();
        assert!(opened.slot.equals(&keyring.slot) && opened.digest.equals(&keyring.digest));
        assert!(opened.locator.equals(&keyring.locator));
        assert!(key.open(b"b", &sealed).is_err() && other.open(b"a", &sealed).is_err());
        assert!(key.open(b"a", &sealed[1..]).is_err() && key.open(b"a", &[]).is_err());
    }

    #[test]
    fn the_private_half_opens_under_its_own_dmk_and_context_only() {
        let (key, dmk) = (TransferSecret::generate().unwrap(), Dmk::from_bytes([1; 32]));
        let sealed = key.seal(&dmk, b"a").unwrap();
        assert_eq!(TransferSecret::unseal(&dmk, b"a", &sealed).unwrap().public(), key.public());
        assert!(TransferSecret::unseal(&dmk, b"b", &sealed).is_err());
        assert!(TransferSecret::unseal(&Dmk::from_bytes([2; 32]), b"a", &sealed).is_err());
    }
}
