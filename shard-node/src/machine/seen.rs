//! Asking for a command id beside the machine, which may be moving others between rows.

use holdfast_domain::{CommandId, Slot};
use holdfast_store::records::PartitionToken;

use super::{
    StateError, layout,
    rows::{BucketRow, RecentRow},
    state::Reader,
};

impl Reader<'_> {
    /// Whether a command id was applied.
    pub(crate) fn seen(
        &self,
        slot: Slot,
        partition: PartitionToken,
        id: CommandId,
    ) -> Result<bool, StateError> {
        // Both rows of one moment: an id that leaves the one is in the other.
        let _whole = self.between_writes();
        let Some(recent) = self.get::<RecentRow>(&layout::recent(slot, partition))? else {
            return Ok(false);
        };
        if recent.ids.has(id) {
            return Ok(true);
        }
        let Some(bucket) = recent.buckets.of(id) else { return Ok(false) };
        let row = self.get::<BucketRow>(&layout::bucket(slot, partition, bucket))?;
        Ok(row.is_some_and(|row| row.ids.has(id)))
    }
}
