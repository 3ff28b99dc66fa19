//! The state of one replica, as its machine and its readers share it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use holdfast_consensus::StateMachine;
use holdfast_domain::{GroupId, Slot};
use holdfast_keys::SlotKeyring;
use holdfast_store::{Batch, Engine, KeyRange, Page, ScanLimit, engine};

use super::{
    GroupKeys, Incarnation, Prefix, ShardMachine, StateError, Table,
    layout::{self, group_range},
    rows::{Row, SlotKeyringRow, SlotRow},
};

use crate::content::News;

/// The state of one replica, shared by its machine (which writes) and its readers. The engine is the process's one.
///
/// Reads block; they see each `apply` entirely or not at all, one row or one page at a time.
pub struct GroupState {
    engine: Arc<dyn Engine>,
    keys: GroupKeys,
    /// Readers hold it for the time of a read, so that no incarnation is removed under them.
    incarnation: RwLock<Incarnation>,
    /// Held while a write's rows appear one after the other.
    writing: RwLock<()>,
    slots: Mutex<BTreeMap<Slot, Arc<OpenSlot>>>,
    news: News,
    taken: Mutex<Option<Taken>>,
}

/// A slot's keyring, opened, with the row that it was opened from.
pub(crate) struct OpenSlot {
    sealed: Bytes,
    pub(crate) keyring: SlotKeyring,
}

/// Keyed digests of slots.
pub type Digests = BTreeMap<Slot, [u8; 32]>;

/// The digests of all slots as of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Names the command.
    pub mark: u64,
    /// What they were.
    pub digests: Digests,
}

/// Counts for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateStats {
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
    /// Slots that take commands.
    pub active_slots: u32,
}

impl GroupState {
    /// Opens the state of a group, or an empty one. Blocks.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(engine: Arc<dyn Engine>, keys: GroupKeys) -> Result<Arc<Self>, StateError> {
        let incarnation = match engine.get(&layout::pointer(keys.group()))? {
            None => Incarnation(0),
            Some(bytes) => {
                let number = bytes.as_ref().try_into().map_err(|_| StateError::Key)?;
                Incarnation(u64::from_be_bytes(number))
            }
        };
        let incarnation = RwLock::new(incarnation);
        Ok(Arc::new(Self {
            engine,
            keys,
            incarnation,
            writing: RwLock::default(),
            slots: Mutex::default(),
            news: News::default(),
            taken: Mutex::default(),
        }))
    }

    /// The machine, for [`holdfast_consensus::Groups::start`]. One at a time.
    pub fn machine(self: &Arc<Self>) -> Box<dyn StateMachine> {
        Box::new(ShardMachine::new(Arc::clone(self)))
    }

    /// Deletes everything of a group from the engine, after its replica was shut down. Blocks; can be repeated.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn destroy(engine: &dyn Engine, group: GroupId) -> Result<(), StateError> {
        engine::clear(engine, &group_range(group))?;
        engine.write([engine::Op::Delete { key: layout::pointer(group) }].into_iter().collect())?;
        Ok(holdfast_store::abort_on_failed_sync(engine.barrier())?)
    }

    /// Whose keys open it.
    pub const fn keys(&self) -> &GroupKeys {
        &self.keys
    }

    /// Counts. Blocks.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn stats(&self) -> Result<StateStats, StateError> {
        let (mut stats, reader) = (StateStats::default(), self.read());
        let page = reader.scan(Table::Slots, &KeyRange::all(), ScanLimit::MAX)?;
        for row in page.rows {
            let slot = layout::slot_of(&row.key).ok_or(StateError::Key)?;
            let row = SlotRow::decode(&row.value)?.now(slot, || reader.outgoing())?;
            stats.records = stats.records.saturating_add(row.records);
            stats.record_bytes = stats.record_bytes.saturating_add(row.record_bytes);
            stats.active_slots += u32::from(row.serves(row.epoch));
        }
        Ok(stats)
    }

    /// Records of these slots, whether they are served here or not. Blocks.
    ///
    /// # Errors
    /// See [`StateError`].
    pub(crate) fn records_in(&self, slots: &[(Slot, Slot)]) -> Result<u64, StateError> {
        let page = self.read().scan(Table::Slots, &KeyRange::all(), ScanLimit::MAX)?;
        let mut records: u64 = 0;
        for row in page.rows {
            let within = |slot: Slot| slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
            if layout::slot_of(&row.key).is_some_and(within) {
                records = records.saturating_add(SlotRow::decode(&row.value)?.records);
            }
        }
        Ok(records)
    }

    /// The digests that were taken last.
    pub fn taken(&self) -> Option<Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn keep_digests(&self, taken: Taken) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    }

    /// Files that the log published.
    pub(crate) const fn news(&self) -> &News {
        &self.news
    }

    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The rows as they are, for as long as the reader lives. Never held across an await.
    pub(crate) fn read(&self) -> Reader<'_> {
        let incarnation = self.incarnation.read().unwrap_or_else(PoisonError::into_inner);
        let prefix = Prefix::new(self.keys.group(), *incarnation);
        Reader { engine: &*self.engine, prefix, writing: &self.writing, _incarnation: incarnation }
    }

    /// What the machine changes. It waits for room before it keeps readers waiting.
    pub(super) fn write(&self, batch: Batch) -> Result<(), StateError> {
        self.engine.admit(&batch)?;
        let _alone = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        Ok(self.engine.apply(batch)?)
    }

    /// Keeps readers away while the incarnation changes.
    pub(super) fn incarnation_mut(&self) -> RwLockWriteGuard<'_, Incarnation> {
        self.incarnation.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        *self.incarnation.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a slot's keyring, or finds it open.
    pub(crate) fn open_slot(&self, slot: Slot, row: &Bytes) -> Result<Arc<OpenSlot>, StateError> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = slots.get(&slot).filter(|open| open.sealed == row) {
            return Ok(Arc::clone(open));
        }
        let keyring = self.keys.open_slot(slot, &SlotKeyringRow::decode(row)?)?;
        let open = Arc::new(OpenSlot { sealed: row.clone(), keyring });
        // One entry a slot at most, so never more than there are slots.
        slots.insert(slot, Arc::clone(&open));
        Ok(open)
    }
}

/// Rows of one incarnation.
pub(crate) struct Reader<'a> {
    engine: &'a dyn Engine,
    prefix: Prefix,
    writing: &'a RwLock<()>,
    _incarnation: RwLockReadGuard<'a, Incarnation>,
}

impl Reader<'_> {
    /// What is read while this is held is of one moment, however many rows. Keeps the machine waiting: for a few rows only.
    pub(super) fn between_writes(&self) -> RwLockReadGuard<'_, ()> {
        self.writing.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get_raw(&self, table: Table, row: &[u8]) -> Result<Option<Bytes>, StateError> {
        Ok(self.engine.get(&self.prefix.key(table, row))?)
    }

    pub(crate) fn get<R: Row>(&self, row: &[u8]) -> Result<Option<R>, StateError> {
        self.get_raw(R::TABLE, row)?.as_deref().map(R::decode).transpose()
    }

    /// A slot, with the status that it has now.
    pub(crate) fn slot(&self, slot: Slot) -> Result<Option<SlotRow>, StateError> {
        let row = self.get::<SlotRow>(&layout::slot(slot))?;
        row.map(|row| row.now(slot, || self.outgoing())).transpose()
    }

    /// One page of a table; keys come back, and `next` goes on, without prefix and table.
    pub(crate) fn scan(&self, table: Table, rows: &KeyRange, limit: ScanLimit) -> Result<Page, StateError> {
        let mut page = self.engine.scan(&self.prefix.within(table, rows), limit)?;
        page.rows.iter_mut().for_each(|row| row.key = layout::row(&row.key));
        page.next = page.next.as_ref().map(layout::row);
        Ok(page)
    }

    pub(crate) const fn prefix(&self) -> Prefix {
        self.prefix
    }
}
