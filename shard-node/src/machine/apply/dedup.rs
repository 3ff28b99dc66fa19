//! Command ids that were applied: in the slot, in the same write as the change, so that they travel with it.
//!
//! One row for each of a partition's buckets, as every command reads and writes one: ids are spread over them evenly, being hashes.

use super::{
    super::{Batch, StateError, layout, rows::DedupRow},
    Applying,
};
use crate::limits::{DEDUP_BUCKET, DEDUP_TTL_MS};

impl Applying<'_> {
    pub(super) fn is_duplicate(&self, batch: &Batch) -> Result<bool, StateError> {
        let key = layout::dedup(batch.slot, batch.partition(), batch.id);
        Ok(self.txn.get::<DedupRow>(&key)?.is_some_and(|row| row.has(batch.id)))
    }

    /// Remembers the batch's id and forgets those of its bucket that are too old or too many.
    pub(super) fn remember(&mut self, batch: &Batch) -> Result<(), StateError> {
        let key = layout::dedup(batch.slot, batch.partition(), batch.id);
        let mut row = self.txn.get::<DedupRow>(&key)?.unwrap_or_default();
        row.ids.retain(|(_, at)| batch.at.since(*at) < DEDUP_TTL_MS);
        let surplus = (row.ids.len() + 1).saturating_sub(DEDUP_BUCKET);
        row.ids.drain(..surplus);
        row.ids.push((batch.id, batch.at));
        self.txn.put(&key, &row)
    }
}
