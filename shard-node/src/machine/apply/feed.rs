//! The change feed: which rows of a slot changed since its move began.
//!
//! Keys only. Whoever pulls reads the rows as they are then: a later change is in the feed again, so that the last reading of a row is
//! never older than its last change.

use super::{
    super::{
        Blob, StateError, layout,
        moves::TRAVEL,
        rows::{FeedRow, OutgoingRow},
    },
    Applying,
};
use crate::limits::FEED_ROW_BYTES;

impl Applying<'_> {
    /// Notes what the running command changed, in the same write.
    pub(super) fn note_changes(&mut self) -> Result<(), StateError> {
        let Some(outgoing) = self.txn.get::<OutgoingRow>(&[])? else { return Ok(()) };
        let travels = |table: u8| TRAVEL.iter().any(|of| of.number() == table);
        let changed = self.txn.changed().filter(|(table, _)| travels(*table));
        let mut pieces = vec![Vec::new()];
        let mut bytes = 0;
        for (table, key) in changed {
            if bytes > FEED_ROW_BYTES {
                pieces.push(Vec::new());
                bytes = 0;
            }
            bytes += key.len();
            if let Some(piece) = pieces.last_mut() {
                piece.push((table, Blob(key)));
            }
        }
        for (part, changed) in (0u16..).zip(pieces) {
            let key = layout::feed(outgoing.since, self.ordinal, part);
            self.txn.put(&key, &FeedRow { changed })?;
        }
        Ok(())
    }
}
