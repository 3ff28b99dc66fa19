//! The digests of all slots as of one command. Kept in memory: a comparison that a restart interrupts is made again.

use std::collections::BTreeMap;

use holdfast_domain::{Sha256Hash, Slot};

use super::{
    super::{
        layout,
        rows::{SlotRow, SlotStatus},
        state::{Digests, Taken},
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
        // Whoever compares the logs of all replicas sees what each of them had.
        tracing::info!(group = %self.state.keys().group(), mark, digest = %summary(&digests), "digests taken");
        self.state.keep_digests(Taken { mark, digests });
        Ok(())
    }
}

/// All of them in one.
fn summary(digests: &Digests) -> Sha256Hash {
    let rows = digests.iter().flat_map(|(slot, digest)| [&slot.number().to_be_bytes()[..], digest].concat());
    Sha256Hash::of(&rows.collect::<Vec<_>>())
}
