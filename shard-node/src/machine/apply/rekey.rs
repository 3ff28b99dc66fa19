//! New keys for a slot that another group had.

use holdfast_domain::{Sha256Hash, Slot};
use holdfast_store::records::PartitionToken;

use super::{
    super::{
        Outcome, SlotEpoch, layout,
        moves::Rekeyed,
        rows::{PartitionKeyringRow, SlotKeyringRow, SlotRow},
    },
    Applying, Refused, refuse,
};

impl Applying<'_> {
    /// All partition keyrings change with the slot's, or none: one that was left out would never open again.
    pub(super) fn rekey_slot(
        &mut self,
        (slot, epoch): (Slot, SlotEpoch),
        previous: Sha256Hash,
        keyring: &SlotKeyringRow,
        partitions: Vec<Rekeyed>,
    ) -> Result<(), Refused> {
        self.admit_generation(keyring.generation)?;
        let row = self.serving(slot, epoch)?;
        if u32::try_from(partitions.len()) != Ok(row.partitions) {
            return refuse(Outcome::Conflict);
        }
        self.replace(&layout::slot(slot), Some(previous), keyring)?;
        for Rekeyed { partition, previous, sealed } in partitions {
            let key = layout::partition(slot, PartitionToken(partition));
            let Some(present) = self.txn.get::<PartitionKeyringRow>(&key)? else {
                return refuse(Outcome::Conflict);
            };
            let min_generation = present.min_generation;
            self.replace(&key, Some(previous), &PartitionKeyringRow { min_generation, sealed })?;
        }
        Ok(self.txn.put(&layout::slot(slot), &SlotRow { stale_key: false, ..row })?)
    }
}
