//! Bytes with signatures over exactly those bytes.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// A 64-byte signature: ECDSA P-256 as `r ‖ s`, or Ed25519.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature64(pub [u8; 64]);

impl std::fmt::Debug for Signature64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature64")
    }
}

impl Serialize for Signature64 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (r, s) = self.0.split_at(32);
        (<[u8; 32]>::try_from(r).unwrap_or_default(), <[u8; 32]>::try_from(s).unwrap_or_default())
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (r, s) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(r.into_iter().chain(s)).for_each(|(to, from)| *to = from);
        Ok(Self(bytes))
    }
}

/// A value as the exact bytes that were signed, to be decoded only after its signature was checked.
///
/// Checking needs keys, so it lives in `holdfast-keys`; this is the data alone.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Signed<T> {
    /// `codec::encode` of a `T`.
    pub bytes: Vec<u8>,
    /// Signature over the bytes under the label of `T`'s purpose.
    pub signature: Signature64,
    #[serde(skip)]
    kind: PhantomData<fn() -> T>,
}

impl<T> Signed<T> {
    /// Puts bytes and signature together; says nothing about their validity.
    pub const fn from_parts(bytes: Vec<u8>, signature: Signature64) -> Self {
        Self { bytes, signature, kind: PhantomData }
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self::from_parts(self.bytes.clone(), self.signature)
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> std::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signed({} bytes of {})", self.bytes.len(), std::any::type_name::<T>())
    }
}
