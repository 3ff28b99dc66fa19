//! The digests of all slots as of one command. Kept in memory: a comparison that a restart interrupts is made again.

use std::collections::BTreeMap;

use holdfast_domain::Slot;

use super::{
    super::{
        layout,
        rows::{SlotRow, SlotStatus},
        state::Taken,
    },
    Applying, Refused,
};

impl Applying<'_> {
    pub(super) fn take_digests(&mut self, mark: u64) -> Result<(), Refused> {
        let mut digests = BTreeMap::new();
        for slot in (0..Slot::COUNT).filter_map(|number| Slot::try_from(number).ok()) {
            match self.txn.get::<SlotRow>(&layout::slot(slot))? {
                // What is left of a slot that went elsewhere is on its way out.
                Some(row) if !matches!(row.status, SlotStatus::Left | SlotStatus::Gone) => {
                    digests.insert(slot, row.digest);
                }
                _ => {}
            }
        }
        self.state.keep_digests(Taken { mark, digests });
        Ok(())
    }
}
