//! The source's side of a move: Moving → Frozen → Gone → Left, or back to Active. A freeze writes the move's own row and no slot's.

use std::collections::BTreeMap;

use holdfast_domain::{MapEpoch, Slot};

use super::{
    super::{
        Blob, Outcome, Table, layout,
        moves::{LastMoves, TRAVEL, is_proper, slots_of},
        rows::{IncomingRow, OutgoingPhase, OutgoingRow, SlotRow, SlotStatus, last_moves},
    },
    Applying, Refused, refuse,
};
use crate::limits::MAX_MOVED_ROWS;

impl Applying<'_> {
    pub(super) fn begin_move(&mut self, row: OutgoingRow) -> Result<(), Refused> {
        if !is_proper(&row.slots) {
            return refuse(Outcome::Malformed);
        }
        if let Some(present) = self.txn.get::<OutgoingRow>(&[])? {
            if present.is_open()
                && present == (OutgoingRow { began: present.began, phase: present.phase, ..row.clone() })
            {
                return Ok(());
            }
            if present.is_open() || present.since >= row.since {
                return refuse(Outcome::Conflict);
            }
        }
        self.turn(&row.slots, &[SlotStatus::Active], SlotStatus::Moving)?;
        Ok(self.txn.put(&[], &row)?)
    }

    pub(super) fn freeze_slots(&mut self, since: MapEpoch) -> Result<(), Refused> {
        let row = self.outgoing(since)?;
        match row.phase {
            OutgoingPhase::Moving => {
                let phase = OutgoingPhase::Frozen { at: self.ordinal };
                Ok(self.txn.put(&[], &OutgoingRow { phase, ..row })?)
            }
            OutgoingPhase::Frozen { .. } => Ok(()),
            OutgoingPhase::Kept | OutgoingPhase::Parted => refuse(Outcome::Conflict),
        }
    }

    pub(super) fn unfreeze_slots(&mut self, since: MapEpoch) -> Result<(), Refused> {
        let row = self.outgoing(since)?;
        match row.phase {
            OutgoingPhase::Moving | OutgoingPhase::Frozen { .. } => {
                self.turn(&row.slots, &[SlotStatus::Moving], SlotStatus::Active)?;
                Ok(self.txn.put(&[], &OutgoingRow { phase: OutgoingPhase::Kept, ..row })?)
            }
            OutgoingPhase::Kept => Ok(()),
            OutgoingPhase::Parted => refuse(Outcome::Conflict),
        }
    }

    pub(super) fn part_with_slots(&mut self, since: MapEpoch) -> Result<(), Refused> {
        let row = self.outgoing(since)?;
        match row.phase {
            OutgoingPhase::Frozen { .. } => {
                self.turn(&row.slots, &[SlotStatus::Moving], SlotStatus::Gone)?;
                Ok(self.txn.put(&[], &OutgoingRow { phase: OutgoingPhase::Parted, ..row })?)
            }
            OutgoingPhase::Parted => Ok(()),
            // Nobody can have activated slots that serve here.
            OutgoingPhase::Moving | OutgoingPhase::Kept => refuse(Outcome::Conflict),
        }
    }

    pub(super) fn drop_rows(&mut self, rows: &[(u8, Blob)]) -> Result<(), Refused> {
        if rows.len() > MAX_MOVED_ROWS {
            return refuse(Outcome::Malformed);
        }
        let open = self.txn.get::<OutgoingRow>(&[])?.filter(OutgoingRow::is_open).map(|row| row.since);
        let mut gone = BTreeMap::<Slot, bool>::new();
        for (number, key) in rows {
            let Some(table) = Table::from_number(*number) else { return refuse(Outcome::Malformed) };
            if table == Table::Feed {
                match layout::feed_of(&key.0) {
                    Some((since, ..)) if open != Some(since) => self.txn.delete(table, &key.0),
                    _ => return refuse(Outcome::Conflict),
                }
                continue;
            }
            let Some(slot) = layout::slot_of(&key.0).filter(|_| TRAVEL.contains(&table)) else {
                return refuse(Outcome::Malformed);
            };
            let is_gone = match gone.get(&slot) {
                Some(known) => *known,
                None => {
                    let row = self.txn.get::<SlotRow>(&layout::slot(slot))?;
                    let is_gone = row.is_some_and(|row| row.status == SlotStatus::Gone);
                    gone.insert(slot, is_gone);
                    is_gone
                }
            };
            if !is_gone {
                return refuse(Outcome::Conflict);
            }
            self.txn.delete(table, &key.0);
        }
        Ok(())
    }

    pub(super) fn forget_slots(&mut self, ranges: &[(Slot, Slot)], moves: LastMoves) -> Result<(), Refused> {
        if !is_proper(ranges) {
            return refuse(Outcome::Malformed);
        }
        let (outgoing, incoming) = (self.txn.get::<OutgoingRow>(&[])?, self.txn.get::<IncomingRow>(&[])?);
        if moves != last_moves(outgoing.as_ref(), incoming.as_ref()) {
            return refuse(Outcome::Conflict);
        }
        for slot in slots_of(ranges) {
            let key = layout::slot(slot);
            let Some(row) = self.txn.get::<SlotRow>(&key)? else { continue };
            if row.status == SlotStatus::Gone {
                self.txn.put(&key, &SlotRow { status: SlotStatus::Left, ..SlotRow::activated(row.epoch) })?;
            }
        }
        Ok(())
    }

    /// Gives every slot of the ranges a new status; each must be stored with one of the expected ones.
    pub(super) fn turn(
        &mut self,
        ranges: &[(Slot, Slot)],
        from: &[SlotStatus],
        to: SlotStatus,
    ) -> Result<(), Refused> {
        for slot in slots_of(ranges) {
            let key = layout::slot(slot);
            match self.txn.get::<SlotRow>(&key)? {
                Some(row) if from.contains(&row.status) => {
                    self.txn.put(&key, &SlotRow { status: to, ..row })?;
                }
                _ => return refuse(Outcome::WrongSlot),
            }
        }
        Ok(())
    }

    fn outgoing(&self, since: MapEpoch) -> Result<OutgoingRow, Refused> {
        match self.txn.get::<OutgoingRow>(&[])? {
            Some(row) if row.since == since => Ok(row),
            _ => refuse(Outcome::WrongSlot),
        }
    }
}
