//! Changes under way: a layer over the engine that reads its own writes.
//!
//! Two levels: what the running command changed can be discarded when it is refused half way; what earlier commands changed
//! goes to the engine in one atomic write. The engine is asked once for a row: nobody else changes what the machine applies to.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

use bytes::Bytes;
use holdfast_store::{Batch, Engine};

use super::{Prefix, StateError, Table, layout, rows::Row};
use crate::limits::{MAX_WRITE_BYTES, MAX_WRITE_OPS};

pub(super) struct Txn<'a> {
    engine: &'a dyn Engine,
    prefix: Prefix,
    /// Rows as the running command found them.
    found: RefCell<HashMap<Bytes, Found, foldhash::fast::RandomState>>,
    /// Bytes of these, and of what they replaced.
    held: Cell<usize>,
    /// What it changed, in an order that all replicas have.
    step: BTreeMap<Bytes, Option<Bytes>>,
}

struct Found {
    value: Option<Bytes>,
    /// By an earlier command, and the engine does not have it yet.
    changed: bool,
}

impl<'a> Txn<'a> {
    pub(super) fn new(engine: &'a dyn Engine, prefix: Prefix) -> Self {
        Self { engine, prefix, found: RefCell::default(), held: Cell::new(0), step: BTreeMap::new() }
    }

    pub(super) fn get_raw(&self, table: Table, row: &[u8]) -> Result<Option<Bytes>, StateError> {
        let key = self.prefix.key(table, row);
        if let Some(change) = self.step.get(&key) {
            return Ok(change.clone());
        }
        let mut found = self.found.borrow_mut();
        if let Some(found) = found.get(&key) {
            return Ok(found.value.clone());
        }
        let value = self.engine.get(&key)?;
        self.hold(&key, value.as_ref());
        found.insert(key, Found { value: value.clone(), changed: false });
        Ok(value)
    }

    pub(super) fn get<R: Row>(&self, row: &[u8]) -> Result<Option<R>, StateError> {
        self.get_raw(R::TABLE, row)?.as_deref().map(R::decode).transpose()
    }

    pub(super) fn put_raw(&mut self, table: Table, row: &[u8], value: Bytes) {
        self.step.insert(self.prefix.key(table, row), Some(value));
    }

    pub(super) fn put<R: Row>(&mut self, row: &[u8], value: &R) -> Result<(), StateError> {
        self.put_raw(R::TABLE, row, value.encode()?.into());
        Ok(())
    }

    pub(super) fn delete(&mut self, table: Table, row: &[u8]) {
        self.step.insert(self.prefix.key(table, row), None);
    }

    /// What the running command changed: tables by number, and row keys.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u8, Bytes)> {
        self.step.keys().filter_map(|key| Some((*layout::tail(key).first()?, layout::row(key))))
    }

    /// The running command counts.
    pub(super) fn keep(&mut self) {
        for (key, value) in std::mem::take(&mut self.step) {
            self.hold(&key, value.as_ref());
            self.found.get_mut().insert(key, Found { value, changed: true });
        }
    }

    /// The running command never was.
    pub(super) fn discard(&mut self) {
        self.step.clear();
    }

    /// Whether so much is held here that what is kept should be written before the next command.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().len() >= MAX_WRITE_OPS || self.held.get() >= MAX_WRITE_BYTES
    }

    fn hold(&self, key: &Bytes, value: Option<&Bytes>) {
        let bytes = key.len().saturating_add(value.map_or(0, Bytes::len));
        self.held.set(self.held.get().saturating_add(bytes));
    }

    /// Everything kept, to be written at once.
    pub(super) fn take(&mut self) -> Batch {
        let mut batch = Batch::new();
        let changed = self.found.take().into_iter().filter(|(_, found)| found.changed);
        for (key, Found { value, .. }) in changed {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        self.held.set(0);
        batch
    }
}
