//! The keys of one slot.

use zeroize::Zeroizing;

use super::KeyringError;
use crate::{
    entropy::EntropyError,
    labels,
    secret::{DigestKey, Dmk, KEY_LEN, LocatorKey, Secret32, SlotKey},
};

/// SK, LK and DK of one slot.
pub struct SlotKeyring {
    /// Opens the partition keyrings of the slot.
    pub slot: SlotKey,
    /// Hides which partition a row belongs to.
    pub locator: LocatorKey,
    /// Authenticates the set of the slot's records.
    pub digest: DigestKey,
}

impl SlotKeyring {
    /// Fresh keys for a slot.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        Ok(Self {
            slot: SlotKey::generate()?,
            locator: LocatorKey::generate()?,
            digest: DigestKey::generate()?,
        })
    }

    /// Seals the keyring. `context` names cluster, group, slot and generation of the DMK, unambiguously.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn seal(&self, dmk: &Dmk, context: &[u8]) -> Result<Vec<u8>, KeyringError> {
        super::seal(dmk, labels::SLOT_KEYRING, context, &self.plain())
    }

    /// Opens a keyring that was sealed under the same DMK and context.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn open(dmk: &Dmk, context: &[u8], sealed: &[u8]) -> Result<Self, KeyringError> {
        Self::from_plain(&super::open(dmk, labels::SLOT_KEYRING, context, sealed)?)
    }

    pub(crate) fn plain(&self) -> Zeroizing<Vec<u8>> {
        let Self { slot, locator, digest } = self;
        let mut plain = Zeroizing::new(Vec::with_capacity(3 * KEY_LEN));
        plain.extend_from_slice(slot.expose_for_wrapping());
        plain.extend_from_slice(locator.expose_for_wrapping());
        plain.extend_from_slice(digest.expose_for_wrapping());
        plain
    }

    pub(crate) fn from_plain(plain: &[u8]) -> Result<Self, KeyringError> {
        let (keys, []) = plain.as_chunks::<KEY_LEN>() else { return Err(KeyringError::Malformed) };
        let [slot, locator, digest] = keys else { return Err(KeyringError::Malformed) };
        let secret = |bytes: &[u8; KEY_LEN]| Secret32::from_slice(bytes).map_err(|_| KeyringError::Malformed);
        Ok(Self {
            slot: SlotKey::from_secret(secret(slot)?),
            locator: LocatorKey::from_secret(secret(locator)?),
            digest: DigestKey::from_secret(secret(digest)?),
        })
    }
}
