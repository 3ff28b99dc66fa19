//! Which bucket a command id belongs to, by linear hashing: buckets are added one at a time, and each takes from one other only.
//!
//! Everything follows from how many there are and from the id. Part of the stored format.

use holdfast_domain::CommandId;
use serde::{Deserialize, Serialize};

use crate::limits::DEDUP_BUCKETS;

/// How many buckets a partition has: they are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub(crate) struct Buckets(u16);

/// One bucket more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// The bucket that some ids leave.
    pub(crate) from: u16,
    /// The new one, where they go.
    pub(crate) to: u16,
    pub(crate) after: Buckets,
}

impl TryFrom<u16> for Buckets {
    type Error = &'static str;

    fn try_from(count: u16) -> Result<Self, Self::Error> {
        if count <= DEDUP_BUCKETS { Ok(Self(count)) } else { Err("too many buckets of command ids") }
    }
}

impl Buckets {
    pub(crate) const ONE: Self = Self(1);

    pub(crate) const fn count(self) -> u16 {
        self.0
    }

    /// Where an id is, if there are buckets.
    pub(crate) fn of(self, id: CommandId) -> Option<u16> {
        let mask = self.0.checked_next_power_of_two()?.checked_sub(1)?;
        let bucket = hash(id) & mask;
        // Not there yet: what it will have is still in the one that it will be split from.
        let bucket = if bucket < self.0 { bucket } else { bucket & (mask >> 1) };
        (self.0 > 0).then_some(bucket)
    }

    /// The next split, unless there are none or as many as there may be.
    pub(crate) fn split(self) -> Option<Split> {
        let highest = 1u16.checked_shl(self.0.checked_ilog2()?)?;
        let after = self.0.checked_add(1)?.try_into().ok()?;
        Some(Split { from: self.0 & !highest, to: self.0, after })
    }
}

/// Any bytes would do where they are random. This (FNV-1a, then the end of MurmurHash3) spreads ids that somebody counts up, too.
fn hash(id: CommandId) -> u16 {
    let mix = |mixed: u32, byte: &u8| (mixed ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let mixed = id.as_bytes().iter().fold(0x811c_9dc5, mix);
    let mixed = (mixed ^ (mixed >> 16)).wrapping_mul(0x85eb_ca6b);
    let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
    let [_, _, high, low] = (mixed ^ (mixed >> 16)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_are_added_one_at_a_time_up_to_the_limit() {
        assert_eq!(Buckets::default().split(), None);
        let mut buckets = Buckets::ONE;
        while let Some(Split { from, to, after }) = buckets.split() {
            assert!(from < to && to == buckets.count() && after.count() == to + 1);
            buckets = after;
        }
        assert_eq!(buckets.count(), DEDUP_BUCKETS);
        assert!(Buckets::try_from(DEDUP_BUCKETS + 1).is_err());
    }

    #[test]
    fn counted_ids_are_spread_evenly() {
        for (shift, byte) in (0..8).flat_map(|shift| [0, 3, 7, 12].map(|byte| (shift, byte))) {
            let mut found = [0u32; 256];
            for number in 0..10_000u32 {
                let mut id = [1; 16];
                id[byte..byte + 4].copy_from_slice(&(number << shift).to_be_bytes());
                let bucket = Buckets(256).of(CommandId::new(id)).unwrap();
                found[usize::from(bucket)] += 1;
            }
            let most = *found.iter().max().unwrap();
            assert!(most < 90, "{most} in one bucket, counted at byte {byte} in steps of 1 << {shift}");
        }
    }

    proptest! {
        #[test]
        fn a_split_moves_ids_of_one_bucket_to_the_new_one_only(id: [u8; 16], count in 1..DEDUP_BUCKETS) {
            let (before, id) = (Buckets(count), CommandId::new(id));
            let Split { from, to, after } = before.split().unwrap();
            let (old, new) = (before.of(id).unwrap(), after.of(id).unwrap());
            prop_assert!(old < before.count());
            prop_assert!(new == old || (old, new) == (from, to));
        }
    }
}
