//! Hash helpers, and the length-prefixed form of everything that is hashed, derived from or authenticated.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::labels::Label;

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA-256 under raw key bytes; keys of this crate go through [`crate::mac`].
pub fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    hmac_parts(key, &[message])
}

pub(crate) fn hmac_parts(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    finish(hmac_keyed(key), parts)
}

/// The state of an HMAC before its first byte. Wiped on drop.
pub(crate) fn hmac_keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // Keys shorter than a block are padded with zeros (RFC 2104), which is what `new` does without a length to refuse.
    let mut block = zeroize::Zeroizing::new([0_u8; 64]);
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    <Hmac<Sha256>>::new((&*block).into())
}

/// HMAC over the parts.
pub(crate) fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Compares without telling by its duration where two values differ. Lengths are public.
pub fn equal_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Labelled fields, each with its length in front, so that no two lists of fields have the same bytes.
///
/// The layout is `len(label) ‖ label ‖ len(field) ‖ field ‖ …`, lengths as 32-bit big-endian, numbers as 8-byte fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct LenPrefixed(Vec<u8>);

impl LenPrefixed {
    /// Starts with the label of the purpose.
    pub fn new(label: Label) -> Self {
        Self(Vec::new()).field(label.as_bytes())
    }

    /// Appends a field. Fields are bounded far below 4 GiB by their own types.
    pub fn field(mut self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends a number, as 8 bytes big-endian.
    pub fn number(self, number: impl Into<u64>) -> Self {
        self.field(&number.into().to_be_bytes())
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// SHA-256 of the bytes.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;

    #[test]
    fn hmac_matches_rfc_4231_with_its_short_key() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let tag = hmac_sha256(&key, b"what do ya want for nothing?");
        assert_eq!(hex::encode(tag), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_boundary_that_moves_changes_the_bytes() {
        let one = LenPrefixed::new(labels::KCV).field(b"ab").field(b"c");
        let other = LenPrefixed::new(labels::KCV).field(b"a").field(b"bc");
        assert_ne!(one, other);
    }
}
