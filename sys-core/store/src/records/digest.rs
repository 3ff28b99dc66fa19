//! A slot's digest: finds a record that was swapped for an older copy of itself, or removed.
//!
//! `Σ HMAC(DK, len ‖ key ‖ version ‖ nonce ‖ tag) mod 2²⁵⁶`, kept by `apply`: additions and removals in any order give
//! the same sum on all replicas, and nobody without the digest key can make another set with it.

use holdfast_keys::{DigestKey, mac};

use super::{RecordKey, StoredRecord};

/// Bytes of a digest.
pub const DIGEST_LEN: usize = 32;

/// The digest of a set of records; the empty set's is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotDigest([u8; DIGEST_LEN]);

impl SlotDigest {
    /// A digest as stored, big-endian.
    pub fn from_bytes(bytes: [u8; DIGEST_LEN]) -> Self {
        Self(bytes)
    }

    /// For storing, big-endian.
    pub fn to_bytes(self) -> [u8; DIGEST_LEN] {
        self.0
    }

    /// Adds a record that is now in the slot.
    pub fn add(&mut self, key: &DigestKey, record_key: &RecordKey, record: &StoredRecord) {
        self.0 = sum(self.0, term(key, record_key, record), 0);
    }

    /// Takes away a record that is no longer in the slot.
    pub fn remove(&mut self, key: &DigestKey, record_key: &RecordKey, record: &StoredRecord) {
        // Two's complement: a - b = a + !b + 1.
        self.0 = sum(self.0, term(key, record_key, record).map(|byte| !byte), 1);
    }
}

fn term(key: &DigestKey, record_key: &RecordKey, record: &StoredRecord) -> [u8; DIGEST_LEN] {
    let body = record.sealed_body();
    // The body's tag also covers the head: its AAD holds the head's tag.
    let nonce = body.get(..holdfast_keys::aead::NONCE_LEN).unwrap_or_default();
    let tag = body.get(body.len().saturating_sub(holdfast_keys::aead::TAG_LEN)..).unwrap_or_default();
    let bytes = record_key.as_bytes();
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes();
    mac::tag(key, &[&len, bytes, &record.version().0.to_be_bytes(), nonce, tag])
}

/// `a + b + carry mod 2²⁵⁶`.
fn sum(mut a: [u8; DIGEST_LEN], b: [u8; DIGEST_LEN], carry: u16) -> [u8; DIGEST_LEN] {
    let mut carry = carry;
    for (to, from) in a.iter_mut().zip(b).rev() {
        let [high, low] = (u16::from(*to) + u16::from(from) + carry).to_be_bytes();
        *to = low;
        carry = u16::from(high);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_added_and_taken_away_leaves_no_trace(a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), c in any::<[u8; 32]>()) {
            prop_assert_eq!(sum(sum(a, b, 0), b.map(|byte| !byte), 1), a);
            prop_assert_eq!(sum(sum(a, b, 0), c, 0), sum(sum(a, c, 0), b, 0));
        }
    }

    #[test]
    fn a_sum_carries_over_every_byte() {
        assert_eq!(sum([0xff; 32], [0; 32], 1), [0; 32]);
    }
}
