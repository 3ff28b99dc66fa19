//! A workload that can be replayed: batch `n` of a seed is always the same, so what was acknowledged is known exactly.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_store::{Batch, Engine, KeyRange, ScanLimit, engine::Op};

/// Key of the row that tells the last batch.
const HEAD: &[u8] = b"head";

/// A small generator of our own: the parent has to draw what the child drew.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound` (SplitMix64).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Record sizes as they are in use, up to the largest.
const SIZES: [usize; 8] = [64, 200, 256, 900, 1024, 4096, 6 * 1024, 64 * 1024];

/// Batch `n`, from 1.
pub(crate) fn batch(seed: u64, n: u64) -> Batch {
    let mut draw = Draw::new(seed ^ n.wrapping_mul(0x1000_0001));
    let mut batch = Batch::new();
    for _ in 0..1 + draw.below(12) {
        let key = [&b"row/"[..], &draw.below(400).to_be_bytes()].concat();
        if draw.below(4) == 0 {
            batch.delete(key);
        } else {
            let size = SIZES[usize::try_from(draw.below(8)).unwrap()];
            let byte = u8::try_from(draw.below(256)).unwrap();
            batch.put(key, vec![byte; size]);
        }
    }
    batch.put(HEAD, n.to_be_bytes().to_vec());
    batch
}

/// Checks that the store is exactly some whole number of batches, not fewer than were acknowledged.
pub(crate) fn verify(engine: &dyn Engine, seed: u64, acknowledged: u64) -> Result<u64, String> {
    let head = engine.get(HEAD).map_err(|error| format!("{error:?}"))?;
    let last = head.map_or(0, |head| u64::from_be_bytes(head[..].try_into().unwrap()));
    if last < acknowledged {
        return Err(format!("batch {acknowledged} was acknowledged, the store ends at {last}"));
    }
    let mut expected = BTreeMap::<Bytes, Bytes>::new();
    for n in 1..=last {
        for op in batch(seed, n).ops() {
            match op {
                Op::Put { key, value } => drop(expected.insert(key.clone(), value.clone())),
                Op::Delete { key } => drop(expected.remove(key)),
            }
        }
    }
    let mut found = BTreeMap::new();
    let mut rest = Some(KeyRange::all());
    while let Some(range) = rest {
        let page = engine.scan(&range, ScanLimit::MAX).map_err(|error| format!("{error:?}"))?;
        found.extend(page.rows.into_iter().map(|row| (row.key, row.value)));
        rest = page.next.map(|next| range.starting_at(next));
    }
    if found == expected { Ok(last) } else { Err(format!("the rows are not those of batches 1 to {last}")) }
}
