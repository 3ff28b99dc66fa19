//! Command ids of a partition that were applied.
//!
//! The last ones are in one row, which every command rewrites; from there they go into buckets, many at a time. So a command seldom
//! changes more than one row, and finding an id takes two.

use holdfast_domain::{CommandId, UnixMs};
use serde::{Deserialize, Serialize};

use super::{
    super::{Blob, StateError},
    Buckets,
};
use crate::limits::{DEDUP_BUCKET, DEDUP_PER_BUCKET, DEDUP_RECENT, DEDUP_TTL_MS};

/// The last ids of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RecentRow {
    /// Where all others are.
    pub(crate) buckets: Buckets,
    /// How many the buckets have.
    pub(crate) remembered: u32,
    pub(crate) ids: Ids<DEDUP_RECENT>,
}

/// Ids of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct BucketRow {
    pub(crate) ids: Ids<DEDUP_BUCKET>,
}

impl RecentRow {
    /// Whether an id was applied; `bucket` reads the row that it is in otherwise.
    pub(crate) fn has(
        &self,
        id: CommandId,
        bucket: impl FnOnce(u16) -> Result<BucketRow, StateError>,
    ) -> Result<bool, StateError> {
        if self.ids.has(id) {
            return Ok(true);
        }
        self.buckets.of(id).map_or(Ok(false), |number| Ok(bucket(number)?.ids.has(id)))
    }

    /// Whether there should be more buckets.
    pub(crate) fn is_crowded(&self) -> bool {
        self.remembered > DEDUP_PER_BUCKET.saturating_mul(self.buckets.count().into())
    }

    /// Counts what a bucket has now instead of what it had.
    pub(crate) fn recount(&mut self, before: usize, after: usize) {
        let number = |ids| u32::try_from(ids).unwrap_or(u32::MAX);
        self.remembered = self.remembered.saturating_sub(number(before)).saturating_add(number(after));
    }
}

/// An id (16 bytes) and when it was applied (milliseconds, big-endian).
pub(crate) type Entry = [u8; 24];

pub(crate) fn id_of(entry: &Entry) -> CommandId {
    let [id @ .., _, _, _, _, _, _, _, _] = *entry;
    CommandId::new(id)
}

fn at_of(entry: &Entry) -> UnixMs {
    let [.., a, b, c, d, e, f, g, h] = *entry;
    UnixMs(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
}

/// Up to so many ids, first applied first. One run of bytes: most commands look for one id and add one, and nothing is decoded for that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Blob")]
pub(crate) struct Ids<const MOST: usize>(Blob);

impl<const MOST: usize> TryFrom<Blob> for Ids<MOST> {
    type Error = &'static str;

    fn try_from(packed: Blob) -> Result<Self, Self::Error> {
        let (entries, rest) = packed.0.as_chunks::<{ size_of::<Entry>() }>();
        if entries.len() <= MOST && rest.is_empty() { Ok(Self(packed)) } else { Err("no command ids") }
    }
}

impl<const MOST: usize> Ids<MOST> {
    /// Of these, the last that there is room for.
    pub(crate) fn last_of(entries: &[Entry]) -> Self {
        let surplus = entries.len().saturating_sub(MOST);
        Self(entries.get(surplus..).unwrap_or_default().as_flattened().to_vec().into())
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        self.0.0.as_chunks().0
    }

    pub(crate) fn has(&self, id: CommandId) -> bool {
        self.entries().iter().any(|entry| entry.first_chunk() == Some(id.as_bytes()))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries().len() >= MOST
    }

    /// With one id more; the first goes where there is no room.
    pub(crate) fn and(&self, id: CommandId, at: UnixMs) -> Self {
        let entries = self.entries();
        let kept = entries.get(usize::from(self.is_full())..).unwrap_or_default();
        Self([kept.as_flattened(), id.as_bytes(), &at.0.to_be_bytes()].concat().into())
    }

    /// Those that are not too old.
    pub(crate) fn young(&self, now: UnixMs) -> Vec<Entry> {
        self.entries().iter().copied().filter(|entry| now.since(at_of(entry)) < DEDUP_TTL_MS).collect()
    }
}
