//! Command ids that were applied: in the slot, in the same write as the change, so that they travel with it.

use super::{
    super::{
        Batch, StateError, Table, layout,
        rows::{DedupOrderRow, DedupRing, DedupRow},
    },
    Applying,
};
use crate::limits::{DEDUP_SWEEP, DEDUP_TTL_MS, MAX_DEDUP_PER_PARTITION};

impl Applying<'_> {
    pub(super) fn is_duplicate(&self, batch: &Batch) -> Result<bool, StateError> {
        let key = layout::dedup(batch.slot, batch.partition(), batch.id);
        Ok(self.txn.get_raw(Table::Dedup, &key)?.is_some())
    }

    /// Remembers the batch's id and forgets some that are too old or too many.
    pub(super) fn remember(&mut self, batch: &Batch) -> Result<(), StateError> {
        let (slot, partition) = (batch.slot, batch.partition());
        let ring_key = layout::partition(slot, partition);
        let mut ring = self.txn.get::<DedupRing>(&ring_key)?.unwrap_or_default();
        self.txn.put(&layout::dedup(slot, partition, batch.id), &DedupRow { at: batch.at })?;
        let order = DedupOrderRow { id: batch.id, at: batch.at };
        self.txn.put(&layout::dedup_order(slot, partition, ring.next), &order)?;
        ring.next = ring.next.saturating_add(1);
        for _ in 0..DEDUP_SWEEP {
            let oldest_key = layout::dedup_order(slot, partition, ring.oldest);
            let Some(oldest) = self.txn.get::<DedupOrderRow>(&oldest_key)? else { break };
            let many = ring.next.saturating_sub(ring.oldest) > u64::from(MAX_DEDUP_PER_PARTITION);
            if !many && batch.at.since(oldest.at) < DEDUP_TTL_MS {
                break;
            }
            self.txn.delete(Table::DedupOrder, &oldest_key);
            self.txn.delete(Table::Dedup, &layout::dedup(slot, partition, oldest.id));
            ring.oldest = ring.oldest.saturating_add(1);
        }
        self.txn.put(&ring_key, &ring)
    }
}
