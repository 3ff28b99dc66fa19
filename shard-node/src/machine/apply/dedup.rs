//! Command ids that were applied: in the slot, in the same write as the change, so that they travel with it.

use std::collections::BTreeMap;

use super::{
    super::{
        Batch, StateError, layout,
        rows::{BucketRow, Buckets, Entry, Ids, RecentRow, Split, id_of},
    },
    Applying,
};
use crate::limits::{DEDUP_BUCKET, DEDUP_SPLITS};

impl Applying<'_> {
    /// The partition's last command ids, for [`Self::remember`]; `None` when the batch was applied before.
    pub(super) fn unless_seen(&self, batch: &Batch) -> Result<Option<RecentRow>, StateError> {
        let key = layout::recent(batch.slot, batch.partition());
        let recent = self.txn.get::<RecentRow>(&key)?.unwrap_or_default();
        let seen = recent.has(batch.id, |bucket| self.bucket(batch, bucket))?;
        Ok((!seen).then_some(recent))
    }

    pub(super) fn remember(&mut self, batch: &Batch, mut recent: RecentRow) -> Result<(), StateError> {
        if recent.ids.is_full() {
            recent.ids = Ids::last_of(&recent.ids.young(batch.at));
        }
        if recent.ids.is_full() {
            self.spread(batch, &mut recent)?;
        }
        recent.ids = recent.ids.and(batch.id, batch.at);
        self.txn.put(&layout::recent(batch.slot, batch.partition()), &recent)
    }

    /// Moves the last ids into buckets. Those forget what is too old or too much.
    fn spread(&mut self, batch: &Batch, recent: &mut RecentRow) -> Result<(), StateError> {
        recent.buckets = recent.buckets.max(Buckets::ONE);
        let mut parts = BTreeMap::<_, Vec<Entry>>::new();
        for entry in std::mem::take(&mut recent.ids).entries() {
            if let Some(bucket) = recent.buckets.of(id_of(entry)) {
                parts.entry(bucket).or_default().push(*entry);
            }
        }
        for (bucket, part) in parts {
            let before = self.bucket(batch, bucket)?.ids;
            let ids = Ids::last_of(&[before.young(batch.at), part].concat());
            recent.recount(before.entries().len(), ids.entries().len());
            self.put_bucket(batch, bucket, ids)?;
        }
        for _ in 0..DEDUP_SPLITS {
            if recent.is_crowded() {
                self.split(batch, recent)?;
            }
        }
        Ok(())
    }

    fn split(&mut self, batch: &Batch, recent: &mut RecentRow) -> Result<(), StateError> {
        let Some(Split { from, to, after }) = recent.buckets.split() else { return Ok(()) };
        let ids = self.bucket(batch, from)?.ids;
        let (go, stay): (Vec<_>, Vec<_>) =
            ids.entries().iter().copied().partition(|entry| after.of(id_of(entry)) == Some(to));
        self.put_bucket(batch, from, Ids::last_of(&stay))?;
        self.put_bucket(batch, to, Ids::last_of(&go))?;
        recent.buckets = after;
        Ok(())
    }

    fn bucket(&self, batch: &Batch, bucket: u16) -> Result<BucketRow, StateError> {
        let key = layout::bucket(batch.slot, batch.partition(), bucket);
        Ok(self.txn.get(&key)?.unwrap_or_default())
    }

    fn put_bucket(&mut self, batch: &Batch, bucket: u16, ids: Ids<DEDUP_BUCKET>) -> Result<(), StateError> {
        let key = layout::bucket(batch.slot, batch.partition(), bucket);
        self.txn.put(&key, &BucketRow { ids })
    }
}
