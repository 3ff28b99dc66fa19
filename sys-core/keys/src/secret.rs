//! Secret keys: 32 bytes in one heap place that is wiped on drop; one type for each purpose.
//!
//! None of them can be cloned, printed, compared or serialized:
//! ```compile_fail,E0277
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<holdfast_keys::Dmk>();
//! ```
//! ```compile_fail,E0277
//! fn clonable<T: Clone>() {}
//! clonable::<holdfast_keys::Dmk>();
//! ```
//! ```compile_fail,E0277
//! fn clonable<T: Clone>() {}
//! clonable::<holdfast_keys::Secret32>();
//! ```
//! ```compile_fail,E0277
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<holdfast_keys::Secret32>();
//! ```
//! ```compile_fail,E0277
//! fn comparable<T: PartialEq>() {}
//! comparable::<holdfast_keys::Secret32>();
//! ```
//! ```compile_fail,E0277
//! fn serializable<T: serde::Serialize>() {}
//! serializable::<holdfast_keys::Dmk>();
//! ```
//! and a key of one purpose is not a key of another:
//! ```compile_fail,E0308
//! let slot = holdfast_keys::SlotKey::from_bytes([0; 32]);
//! let _: holdfast_keys::Dmk = slot;
//! ```

use holdfast_domain::Kcv;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{derive, entropy, entropy::EntropyError, hash};

/// Length of every symmetric key.
pub const KEY_LEN: usize = 32;

/// A secret that is not 32 bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has {KEY_LEN} bytes, not {0}")]
pub struct KeyLengthError(usize);

mod sealed {
    pub trait Sealed {}
}

/// What every 32-byte secret offers; implemented in this file only.
pub trait SecretKey: sealed::Sealed + Sized {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    fn generate() -> Result<Self, EntropyError>;

    /// Takes the bytes over. The caller's own copy is the caller's to wipe.
    fn from_bytes(bytes: [u8; KEY_LEN]) -> Self;

    /// The bytes, for wrapping the key or handing it to a primitive: the way out of secrecy.
    fn expose_for_wrapping(&self) -> &[u8; KEY_LEN];
}

/// A 32-byte secret without a purpose of its own: challenge secrets, unsealed bytes on their way to a typed key.
pub struct Secret32(Box<Zeroizing<[u8; KEY_LEN]>>);

impl Secret32 {
    /// A new random secret.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut secret = Self::zeroed();
        entropy::fill(secret.bytes_mut())?;
        Ok(secret)
    }

    /// Takes the bytes over. The caller's own copy is the caller's to wipe.
    pub fn from_bytes(mut bytes: [u8; KEY_LEN]) -> Self {
        let mut secret = Self::zeroed();
        secret.bytes_mut().copy_from_slice(&bytes);
        bytes.zeroize();
        secret
    }

    /// Copies a secret of exactly 32 bytes.
    ///
    /// # Errors
    /// For any other length.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, KeyLengthError> {
        let bytes: &[u8; KEY_LEN] = bytes.try_into().map_err(|_| KeyLengthError(bytes.len()))?;
        let mut secret = Self::zeroed();
        secret.bytes_mut().copy_from_slice(bytes);
        Ok(secret)
    }

    /// The bytes, for wrapping the secret or handing it to a primitive: the way out of secrecy.
    pub fn expose_for_wrapping(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// Whether both are the same secret, in constant time.
    pub fn equals(&self, other: &Self) -> bool {
        hash::equal_constant_time(self.expose_for_wrapping(), other.expose_for_wrapping())
    }

    pub(crate) fn zeroed() -> Self {
        Self(Box::new(Zeroizing::new([0; KEY_LEN])))
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; KEY_LEN] {
        &mut self.0
    }
}

impl sealed::Sealed for Secret32 {}

impl SecretKey for Secret32 {
    fn generate() -> Result<Self, EntropyError> {
        Self::generate()
    }

    fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self::from_bytes(bytes)
    }

    fn expose_for_wrapping(&self) -> &[u8; KEY_LEN] {
        self.expose_for_wrapping()
    }
}

/// Defines key types, each over its own [`Secret32`].
macro_rules! key_types {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        pub struct $name(Secret32);

        impl $name {
            /// A new random key.
            ///
            /// # Errors
            /// When the operating system gives no randomness.
            pub fn generate() -> Result<Self, EntropyError> {
                Secret32::generate().map(Self)
            }

            /// Takes the bytes over. The caller's own copy is the caller's to wipe.
            pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self(Secret32::from_bytes(bytes))
            }

            /// Gives a bare secret its purpose, for instance after unsealing it.
            pub fn from_secret(secret: Secret32) -> Self {
                Self(secret)
            }

            /// The key check value: tells whether two holders have the same key, and nothing about it.
            pub fn kcv(&self) -> Kcv {
                derive::kcv(self)
            }

            /// Whether both are the same key, in constant time.
            pub fn equals(&self, other: &Self) -> bool {
                self.0.equals(&other.0)
            }

            /// The bytes, for wrapping the key or handing it to a primitive: the way out of secrecy.
            pub fn expose_for_wrapping(&self) -> &[u8; KEY_LEN] {
                self.0.expose_for_wrapping()
            }
        }

        impl sealed::Sealed for $name {}

        impl SecretKey for $name {
            fn generate() -> Result<Self, EntropyError> {
                Self::generate()
            }

            fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
                Self::from_bytes(bytes)
            }

            fn expose_for_wrapping(&self) -> &[u8; KEY_LEN] {
                self.expose_for_wrapping()
            }
        }
    )*};
}

key_types! {
    /// The cluster root key (CRK): opens the registry's own secrets, nothing of the shards.
    Crk;
    /// The database master key of one shard group (DMK): opens its slot keyrings.
    Dmk;
    /// The slot key (SK): opens the partition keyrings of one slot.
    SlotKey;
    /// The locator key (LK) of one slot: hides which partition a row belongs to.
    LocatorKey;
    /// The digest key (DK) of one slot: authenticates the set of its records.
    DigestKey;
    /// The data key of one partition (PDK): value keys are derived from it.
    DataKey;
    /// The name key of one partition (NK): token keys are derived from it.
    NameKey;
    /// The key of one file's chunks.
    FileKey;
    /// A node's own key, sealed to its TPM: keys for its log, snapshots, cursors and audit log are derived from it.
    LocalKey;
    /// Seals the values of one tablespace of one partition; derived.
    ValueKey;
    /// Makes name tokens in one index of one tablespace of one partition; derived.
    TokenKey;
    /// Seals one thing of one purpose; derived, with the purpose in its label.
    WrapKey;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_the_same_key_and_one_bit_makes_another() {
        let key = Dmk::from_bytes([1; 32]);
        assert!(key.equals(&Dmk::from_bytes([1; 32])));
        let mut other = [1; 32];
        other[31] ^= 1;
        assert!(!key.equals(&Dmk::from_bytes(other)));
        assert_ne!(key.kcv(), Dmk::from_bytes(other).kcv());
    }

    #[test]
    fn generated_keys_differ() {
        let (one, two) = (Dmk::generate().unwrap(), Dmk::generate().unwrap());
        assert!(!one.equals(&two));
    }

    #[test]
    fn a_slice_of_another_length_is_no_secret() {
        assert!(Secret32::from_slice(&[0; 32]).is_ok());
        assert_eq!(Secret32::from_slice(&[0; 31]).err(), Some(KeyLengthError(31)));
        assert_eq!(Secret32::from_slice(&[0; 33]).err(), Some(KeyLengthError(33)));
    }

    #[test]
    fn a_bare_secret_keeps_its_bytes_when_it_gets_a_purpose() {
        let key = SlotKey::from_secret(Secret32::from_bytes([9; 32]));
        assert_eq!(key.expose_for_wrapping(), &[9; 32]);
    }
}
