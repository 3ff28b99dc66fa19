//! The target's side of a move: nothing → Importing → Active, or Gone.
//!
//! Its log alone decides between activation and abort: whichever command comes first refuses the other.

use std::collections::BTreeMap;

use bytes::Bytes;
use holdfast_domain::{GroupId, MapEpoch, Slot};
use holdfast_store::records::{RecordKey, StoredRecord};

use super::{
    super::{
        Blob, Outcome, SlotEpoch, Table,
        layout::{self, DedupKey},
        moves::{Fence, FencedSlot, MovedRow, Position, TRAVEL, is_proper, slots_of},
        rows::{
            BucketRow, FileRow, IncomingPhase, IncomingRow, PageRow, PartitionKeyringRow, RecentRow, Row,
            SlotKeyringRow, SlotRow, SlotStatus,
        },
    },
    Applying, Refused, refuse,
};
use crate::limits::MAX_MOVED_ROWS;

/// Slots that one command changes.
type Slots = BTreeMap<Slot, SlotRow>;

impl Applying<'_> {
    pub(super) fn put_transfer_key(&mut self, row: IncomingRow) -> Result<(), Refused> {
        if !is_proper(&row.slots) {
            return refuse(Outcome::Malformed);
        }
        self.admit_generation(row.generation)?;
        match self.txn.get::<IncomingRow>(&[])? {
            Some(present) if present.since == row.since && present.is_open() => {
                let IncomingRow { generation, sealed, .. } = row.clone();
                let resealed = IncomingRow { generation, sealed, ..present.clone() };
                if resealed != (IncomingRow { phase: present.phase, ..row }) {
                    return refuse(Outcome::Conflict);
                }
                Ok(self.txn.put(&[], &resealed)?)
            }
            Some(present) if present.is_open() || present.since >= row.since => refuse(Outcome::Conflict),
            _ => Ok(self.txn.put(&[], &row)?),
        }
    }

    pub(super) fn begin_import(&mut self, since: MapEpoch) -> Result<(), Refused> {
        let row = self.incoming(since)?;
        match row.phase {
            IncomingPhase::Prepared => {}
            IncomingPhase::Importing { .. } => return Ok(()),
            IncomingPhase::Activated | IncomingPhase::Aborted => return refuse(Outcome::Conflict),
        }
        for slot in slots_of(&row.slots) {
            let key = layout::slot(slot);
            let epoch = match self.txn.get::<SlotRow>(&key)? {
                None => SlotEpoch(0),
                Some(slot) if slot.status == SlotStatus::Left => slot.epoch,
                Some(_) => return refuse(Outcome::WrongSlot),
            };
            let fresh = SlotRow { status: SlotStatus::Importing, ..SlotRow::activated(epoch) };
            self.txn.put(&key, &fresh)?;
        }
        let phase = IncomingPhase::Importing { position: Position::start() };
        Ok(self.txn.put(&[], &IncomingRow { phase, ..row })?)
    }

    pub(super) fn import_rows(
        &mut self,
        since: MapEpoch,
        from: &Position,
        to: Position,
        rows: &[MovedRow],
    ) -> Result<(), Refused> {
        if rows.len() > MAX_MOVED_ROWS {
            return refuse(Outcome::Malformed);
        }
        let row = self.incoming(since)?;
        // Rows that come a second time, or ahead of others, are refused.
        if !matches!(&row.phase, IncomingPhase::Importing { position } if position == from) {
            return refuse(Outcome::Conflict);
        }
        let mut slots = Slots::new();
        for moved in rows {
            self.import_row(&mut slots, moved)?;
        }
        for (slot, row) in &slots {
            self.txn.put(&layout::slot(*slot), row)?;
        }
        let phase = IncomingPhase::Importing { position: to };
        Ok(self.txn.put(&[], &IncomingRow { phase, ..row })?)
    }

    fn import_row(&mut self, slots: &mut Slots, moved: &MovedRow) -> Result<(), Refused> {
        let MovedRow { table, key, value } = moved;
        let table = Table::from_number(*table).filter(|table| TRAVEL.contains(table));
        let (Some(table), Some(number)) = (table, layout::slot_of(&key.0)) else {
            return refuse(Outcome::Malformed);
        };
        let mut slot = match slots.get(&number) {
            Some(known) => *known,
            None => match self.txn.get::<SlotRow>(&layout::slot(number))? {
                Some(row) if row.status == SlotStatus::Importing => row,
                _ => return refuse(Outcome::WrongSlot),
            },
        };
        match table {
            Table::Records => self.import_record(number, &mut slot, &key.0, value.as_ref())?,
            table => {
                if value.as_ref().is_some_and(|value| !decodes(table, &key.0, &value.0)) {
                    return refuse(Outcome::Malformed);
                }
                self.before_row(table, key, value.as_ref())?;
                if table == Table::PartitionKeyrings {
                    let before = u32::from(self.txn.get_raw(table, &key.0)?.is_some());
                    let after = u32::from(value.is_some());
                    slot.partitions = slot.partitions.saturating_add(after).saturating_sub(before);
                }
                match value {
                    Some(value) => self.txn.put_raw(table, &key.0, value.0.clone()),
                    None => self.txn.delete(table, &key.0),
                }
            }
        }
        slots.insert(number, slot);
        Ok(())
    }

    /// What others must know before a row is there.
    fn before_row(&mut self, table: Table, key: &Blob, value: Option<&Blob>) -> Result<(), Refused> {
        match table {
            Table::SlotKeyrings => {
                if let Some(value) = value {
                    let generation = SlotKeyringRow::decode(&value.0)?.generation;
                    self.admit_generation(generation)?;
                }
            }
            // Whichever of a file's rows comes last tells of its chunks.
            Table::Files => {
                if let Some((slot, file)) = layout::file_of(&key.0) {
                    self.published.push((slot, file));
                }
            }
            Table::Pages => {
                if let Some((slot, file, _)) = layout::page_of(&key.0) {
                    self.published.push((slot, file));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import_record(
        &mut self,
        number: Slot,
        slot: &mut SlotRow,
        key: &Bytes,
        value: Option<&Blob>,
    ) -> Result<(), Refused> {
        let Ok(key) = RecordKey::parse(key.clone()) else { return refuse(Outcome::Malformed) };
        let Ok(record) = value.map(|value| StoredRecord::parse(value.0.clone())).transpose() else {
            return refuse(Outcome::Malformed);
        };
        let Some(keyring) = self.slot_keyring(number)? else { return refuse(Outcome::Conflict) };
        let open = self.state.open_slot(number, &keyring)?;
        Ok(self.write_record(&open.keyring.digest, slot, &key, record)?)
    }

    pub(super) fn activate_import(&mut self, since: MapEpoch, fence: &Fence) -> Result<(), Refused> {
        let row = self.incoming(since)?;
        match &row.phase {
            IncomingPhase::Importing { position } => {
                let complete = Position::Feed { next: fence.frozen.saturating_add(1), skip: 0 };
                if *position != complete {
                    return refuse(Outcome::Conflict);
                }
            }
            IncomingPhase::Activated => return Ok(()),
            IncomingPhase::Prepared | IncomingPhase::Aborted => return refuse(Outcome::Conflict),
        }
        if !slots_of(&row.slots).eq(fence.slots.iter().map(|fenced| fenced.slot)) {
            return refuse(Outcome::Malformed);
        }
        for fenced in &fence.slots {
            self.activate_slot(fenced)?;
        }
        self.require_policy(fence.min_policy)?;
        Ok(self.txn.put(&[], &IncomingRow { phase: IncomingPhase::Activated, ..row })?)
    }

    /// Compares what was imported with what the source froze, and serves it.
    fn activate_slot(&mut self, fenced: &FencedSlot) -> Result<(), Refused> {
        let FencedSlot { slot, epoch, high_water, digest, records, partitions } = *fenced;
        let key = layout::slot(slot);
        let Some(row) = self.txn.get::<SlotRow>(&key)? else { return refuse(Outcome::WrongSlot) };
        let (Some(next), SlotStatus::Importing) = (epoch.0.checked_add(1), row.status) else {
            return refuse(Outcome::WrongSlot);
        };
        let same = (row.digest, row.records, row.partitions) == (digest, records, partitions);
        if !same || row.high_water > high_water || row.epoch.0 >= next {
            return refuse(Outcome::Differs);
        }
        let stale_key = self.slot_keyring(slot)?.is_some();
        let (epoch, status) = (SlotEpoch(next), SlotStatus::Active);
        Ok(self.txn.put(&key, &SlotRow { epoch, status, stale_key, high_water, ..row })?)
    }

    pub(super) fn abort_import(&mut self, since: MapEpoch, from: GroupId) -> Result<(), Refused> {
        let aborted = |row| IncomingRow { phase: IncomingPhase::Aborted, ..row };
        match self.txn.get::<IncomingRow>(&[])? {
            Some(row) if row.since == since => match row.phase {
                IncomingPhase::Prepared => Ok(self.txn.put(&[], &aborted(row))?),
                IncomingPhase::Importing { .. } => {
                    self.turn(&row.slots, &[SlotStatus::Importing], SlotStatus::Gone)?;
                    Ok(self.txn.put(&[], &aborted(row))?)
                }
                IncomingPhase::Aborted => Ok(()),
                IncomingPhase::Activated => refuse(Outcome::Conflict),
            },
            Some(row) if row.is_open() || row.since > since => refuse(Outcome::Conflict),
            // It never began here, and never will.
            _ => {
                let (generation, phase) = (holdfast_domain::KeyGeneration(0), IncomingPhase::Aborted);
                let (slots, sealed, public) = (Vec::new(), Blob::default(), [0; 32]);
                let row = IncomingRow { since, from, slots, generation, sealed, public, phase };
                Ok(self.txn.put(&[], &row)?)
            }
        }
    }

    fn incoming(&self, since: MapEpoch) -> Result<IncomingRow, Refused> {
        match self.txn.get::<IncomingRow>(&[])? {
            Some(row) if row.since == since => Ok(row),
            _ => refuse(Outcome::WrongSlot),
        }
    }
}

/// Whether bytes are a row of the table: one that is not would stop the machine at its next reader.
fn decodes(table: Table, key: &[u8], value: &[u8]) -> bool {
    match table {
        Table::SlotKeyrings => SlotKeyringRow::decode(value).is_ok(),
        Table::PartitionKeyrings => PartitionKeyringRow::decode(value).is_ok(),
        Table::Dedup => match layout::dedup_of(key) {
            Some(DedupKey::Recent) => RecentRow::decode(value).is_ok(),
            Some(DedupKey::Bucket) => BucketRow::decode(value).is_ok(),
            None => false,
        },
        Table::Files => FileRow::decode(value).is_ok(),
        Table::Pages => PageRow::decode(value).is_ok(),
        _ => false,
    }
}
