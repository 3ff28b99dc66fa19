//! Reading what a move needs: the source's rows in order, its fence, and what is left of slots that are gone.

use holdfast_domain::MapEpoch;
use holdfast_store::{KeyRange, ScanLimit};

use super::{
    Blob, StateError, Table, layout,
    moves::{Fence, FencedSlot, MovedRow, Position, TRAVEL, slots_of},
    rows::{FeedRow, GroupRow, OutgoingPhase, OutgoingRow, Progress, Row as _, SlotRow, SlotStatus},
    state::Reader,
};
use crate::limits::{MAX_MOVED_BYTES, MAX_MOVED_ROWS};

/// Changes that are counted for who watches a move.
const MAX_COUNTED: u64 = 100_000;

/// A piece of what travels.
#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) rows: Vec<MovedRow>,
    /// Where the next piece begins.
    pub(crate) to: Position,
    /// Whether nothing was left to send at that moment.
    pub(crate) caught_up: bool,
}

/// A piece that is being put together.
struct Piece {
    rows: Vec<MovedRow>,
    bytes: usize,
    most: usize,
}

impl Piece {
    fn is_full(&self) -> bool {
        self.rows.len() >= self.most || self.bytes >= MAX_MOVED_BYTES
    }

    fn push(&mut self, table: u8, key: Blob, value: Option<Blob>) {
        self.bytes += key.0.len() + value.as_ref().map_or(0, |value| value.0.len());
        self.rows.push(MovedRow { table, key, value });
    }
}

impl Reader<'_> {
    /// What this group hands over, or handed over last.
    pub(crate) fn outgoing(&self) -> Result<Option<OutgoingRow>, StateError> {
        self.get(&[])
    }

    /// The next piece of a move's rows from a position on: at most so many of them.
    pub(crate) fn pull(
        &self,
        outgoing: &OutgoingRow,
        from: &Position,
        most: usize,
    ) -> Result<Pulled, StateError> {
        let mut piece = Piece { rows: Vec::new(), bytes: 0, most: most.clamp(1, MAX_MOVED_ROWS) };
        match from {
            Position::Rows { step, from } => {
                let to = self.pull_rows(outgoing, usize::from(*step), from, &mut piece)?;
                Ok(Pulled { rows: piece.rows, to, caught_up: false })
            }
            Position::Feed { next, skip } => self.pull_feed(outgoing, *next, *skip, piece),
        }
    }

    fn pull_rows(
        &self,
        outgoing: &OutgoingRow,
        step: usize,
        from: &Blob,
        piece: &mut Piece,
    ) -> Result<Position, StateError> {
        let mut from = from.0.clone();
        for (step, table) in (0u8..).zip(TRAVEL).skip(step) {
            for range in ranges(outgoing) {
                let mut rest = Some(range.starting_at(from.clone()));
                while let Some(range) = rest.filter(|range| !range.is_empty()) {
                    let room = piece.most.saturating_sub(piece.rows.len());
                    let limit = ScanLimit::rows(room).with_bytes(MAX_MOVED_BYTES.saturating_sub(piece.bytes));
                    let page = self.scan(table, &range, limit)?;
                    for row in page.rows {
                        piece.push(table.number(), Blob(row.key), Some(Blob(row.value)));
                    }
                    if piece.is_full()
                        && let Some(next) = page.next
                    {
                        return Ok(Position::Rows { step, from: Blob(next) });
                    }
                    rest = page.next.map(|next| range.starting_at(next));
                }
            }
            // It was a key of the first table.
            from = bytes::Bytes::new();
            let next = step.saturating_add(1);
            if piece.is_full() && usize::from(next) < TRAVEL.len() {
                return Ok(Position::Rows { step: next, from: Blob::default() });
            }
        }
        Ok(Position::Feed { next: outgoing.began.saturating_add(1), skip: 0 })
    }

    fn pull_feed(
        &self,
        outgoing: &OutgoingRow,
        next: u64,
        skip: u32,
        mut piece: Piece,
    ) -> Result<Pulled, StateError> {
        // First: whatever is noted up to here is there to be read.
        let applied = self.get::<Progress>(&[])?.map_or(0, |Progress(ordinal)| ordinal);
        let through = match outgoing.phase {
            OutgoingPhase::Frozen { at } => applied.min(at),
            _ => applied,
        };
        let start = layout::feed(outgoing.since, next, 0);
        let end = layout::feed(outgoing.since, through.saturating_add(1), 0);
        let mut rest = Some(KeyRange::between(start, end));
        let (mut at, mut taken) = (next, 0u32);
        while let Some(range) = rest.filter(|range| !range.is_empty()) {
            let page = self.scan(Table::Feed, &range, ScanLimit::rows(64))?;
            for row in page.rows {
                let (_, ordinal, _) = layout::feed_of(&row.key).ok_or(StateError::Key)?;
                if ordinal != at {
                    (at, taken) = (ordinal, 0);
                }
                for (table, key) in FeedRow::decode(&row.value)?.changed {
                    if ordinal == next && taken < skip {
                        taken = taken.saturating_add(1);
                        continue;
                    }
                    if piece.is_full() {
                        let to = Position::Feed { next: at, skip: taken };
                        return Ok(Pulled { rows: piece.rows, to, caught_up: false });
                    }
                    let table_of = Table::from_number(table).ok_or(StateError::Key)?;
                    let value = self.get_raw(table_of, &key.0)?.map(Blob);
                    piece.push(table, key, value);
                    taken = taken.saturating_add(1);
                }
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        if through < next {
            let to = Position::Feed { next, skip };
            return Ok(Pulled { rows: piece.rows, to, caught_up: skip == 0 });
        }
        let to = Position::Feed { next: through.saturating_add(1), skip: 0 };
        Ok(Pulled { rows: piece.rows, to, caught_up: true })
    }

    /// Changes that were noted since a move began, from a position on. Counting ends at [`MAX_COUNTED`]: what is left is much, then.
    pub(crate) fn feed_left(&self, since: MapEpoch, from: &Position) -> Result<u64, StateError> {
        let (next, skip) = match from {
            Position::Rows { .. } => (0, 0),
            Position::Feed { next, skip } => (*next, u64::from(*skip)),
        };
        let end = since.0.checked_add(1).map(|next| layout::feed(MapEpoch(next), 0, 0));
        let mut left = 0u64;
        let mut rest = end.map(|end| KeyRange::between(layout::feed(since, next, 0), end));
        while let Some(range) = rest.filter(|range| !range.is_empty() && left < MAX_COUNTED) {
            let page = self.scan(Table::Feed, &range, ScanLimit::rows(256))?;
            for row in page.rows {
                let changed = FeedRow::decode(&row.value)?.changed.len();
                left = left.saturating_add(u64::try_from(changed).unwrap_or(u64::MAX));
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        Ok(left.saturating_sub(skip).min(MAX_COUNTED))
    }

    /// What the log says of slots that are frozen; `None` while they are not.
    pub(crate) fn fence(&self, since: MapEpoch) -> Result<Option<Fence>, StateError> {
        let Some(outgoing) = self.outgoing()?.filter(|row| row.since == since) else { return Ok(None) };
        let OutgoingPhase::Frozen { at } = outgoing.phase else { return Ok(None) };
        let min_policy = self.get::<GroupRow>(&[])?.unwrap_or_default().min_policy;
        let mut slots = Vec::new();
        for slot in slots_of(&outgoing.slots) {
            let Some(row) = self.get::<SlotRow>(&layout::slot(slot))? else { return Ok(None) };
            let SlotRow {
                epoch,
                status: _,
                stale_key: _,
                high_water,
                digest,
                records,
                record_bytes: _,
                partitions,
            } = row;
            slots.push(FencedSlot { slot, epoch, high_water, digest, records, partitions });
        }
        // A move that ended meanwhile leaves nothing to stand for.
        let still = self.outgoing()?.is_some_and(|row| row == outgoing);
        Ok(still.then_some(Fence { frozen: at, min_policy, slots }))
    }

    /// Some rows of slots that are gone and of feeds that nobody pulls, for [`super::MoveCommand::DropRows`].
    pub(crate) fn leftovers(&self) -> Result<Vec<(u8, Blob)>, StateError> {
        let mut found = Vec::new();
        for slot in self.slots_with(|row| row.status == SlotStatus::Gone)? {
            // Backwards: the keyring goes last.
            for table in TRAVEL.into_iter().rev() {
                let room = MAX_MOVED_ROWS.saturating_sub(found.len());
                let page =
                    self.scan(table, &KeyRange::prefix(layout::slot(slot).to_vec()), ScanLimit::rows(room))?;
                found.extend(page.rows.into_iter().map(|row| (table.number(), Blob(row.key))));
                if found.len() >= MAX_MOVED_ROWS {
                    return Ok(found);
                }
            }
        }
        let open = self.outgoing()?.filter(OutgoingRow::is_open).map(|row| row.since);
        let end = open.map(|since| layout::feed(since, 0, 0));
        let feeds = end.map_or_else(KeyRange::all, |end| KeyRange::between(Vec::new(), end));
        let room = MAX_MOVED_ROWS.saturating_sub(found.len());
        let page = self.scan(Table::Feed, &feeds, ScanLimit::rows(room))?;
        found.extend(page.rows.into_iter().map(|row| (Table::Feed.number(), Blob(row.key))));
        Ok(found)
    }

    /// Slots whose rows are as asked.
    pub(crate) fn slots_with(
        &self,
        wanted: impl Fn(&SlotRow) -> bool,
    ) -> Result<Vec<holdfast_domain::Slot>, StateError> {
        let (mut found, mut rest) = (Vec::new(), Some(KeyRange::all()));
        while let Some(range) = rest {
            let page = self.scan(Table::Slots, &range, ScanLimit::MAX)?;
            for row in &page.rows {
                let slot = layout::slot_of(&row.key).ok_or(StateError::Key)?;
                if wanted(&SlotRow::decode(&row.value)?.now(slot, || self.outgoing())?) {
                    found.push(slot);
                }
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        Ok(found)
    }
}

/// The row keys of a move's slots.
fn ranges(outgoing: &OutgoingRow) -> impl Iterator<Item = KeyRange> {
    outgoing.slots.iter().map(|(first, last)| {
        let start = layout::slot(*first).to_vec();
        match last.number().checked_add(1) {
            Some(next) => KeyRange::between(start, next.to_be_bytes().to_vec()),
            None => KeyRange::all().starting_at(start),
        }
    })
}
