//! Asking for a command id beside the machine, which may be moving others between rows.

use holdfast_domain::{CommandId, Slot};
use holdfast_store::records::PartitionToken;

use super::{StateError, layout, rows::RecentRow, state::Reader};

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
        let recent: RecentRow = self.get(&layout::recent(slot, partition))?.unwrap_or_default();
        recent.has(id, |bucket| Ok(self.get(&layout::bucket(slot, partition, bucket))?.unwrap_or_default()))
    }
}
