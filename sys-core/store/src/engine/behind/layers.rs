//! What was written and is not below yet.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::super::{Batch, Op, merge::Rows};
use crate::limits::{LAYER_BYTES, LAYER_ROWS};

/// Rows that go down together.
#[derive(Default)]
pub(super) struct Layer {
    rows: Rows,
    /// Of keys and values.
    bytes: usize,
}

/// One layer takes batches, sealed ones wait to be carried down.
#[derive(Default)]
pub(super) struct Layers {
    newest: Layer,
    /// The oldest first.
    sealed: VecDeque<Arc<Layer>>,
    /// How many were ever sealed.
    count: u64,
}

impl Layer {
    pub(super) const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Names of the rows that it puts.
    pub(super) fn put_names(&self) -> impl Iterator<Item = &[u8]> {
        self.rows.iter().filter_map(|(key, value)| value.as_ref().map(|_| &**key))
    }

    /// All of it as one batch.
    pub(super) fn batch(&self) -> Batch {
        let op = |(key, value): (&Bytes, &Option<Bytes>)| match value {
            Some(value) => Op::Put { key: key.clone(), value: value.clone() },
            None => Op::Delete { key: key.clone() },
        };
        self.rows.iter().map(op).collect()
    }

    fn put(&mut self, batch: Batch) {
        self.bytes = self.bytes.saturating_add(batch.byte_len());
        for op in batch.into_ops() {
            let (key, value) = match op {
                Op::Put { key, value } => (key, Some(value)),
                Op::Delete { key } => (key, None),
            };
            let key_len = key.len();
            if let Some(replaced) = self.rows.insert(key, value) {
                let gone = key_len.saturating_add(replaced.map_or(0, |value| value.len()));
                self.bytes = self.bytes.saturating_sub(gone);
            }
        }
    }

    /// Whether a batch more makes it larger than the engine below should stop for.
    fn is_full(&self, batch: &Batch) -> bool {
        let (rows, bytes) =
            (self.rows.len().saturating_add(batch.ops().len()), self.bytes.saturating_add(batch.byte_len()));
        !self.rows.is_empty() && (rows > LAYER_ROWS || bytes > LAYER_BYTES)
    }
}

impl Layers {
    /// What is said here of a row; `None` when nothing is.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let newest_first = self.sealed.iter().rev().map(|layer| layer.rows());
        std::iter::once(self.newest.rows()).chain(newest_first).find_map(|rows| rows.get(key)).cloned()
    }

    /// Takes a batch whole; whether somebody should come for what is here now.
    pub(super) fn put(&mut self, batch: Batch) -> bool {
        let full = self.newest.is_full(&batch);
        if full {
            self.seal();
        }
        let first = self.newest.rows.is_empty();
        self.newest.put(batch);
        full || first
    }

    /// Closes the newest layer; returns how many were ever sealed.
    pub(super) fn seal(&mut self) -> u64 {
        if !self.newest.rows.is_empty() {
            self.sealed.push_back(Arc::new(std::mem::take(&mut self.newest)));
            self.count = self.count.saturating_add(1);
        }
        self.count
    }

    /// How many wait, and how many were ever sealed.
    pub(super) fn waiting(&self) -> (usize, u64) {
        (self.sealed.len(), self.count)
    }

    /// The oldest layer, if it was among the first `last` ever sealed.
    pub(super) fn oldest(&self, last: u64) -> Option<Arc<Layer>> {
        let carried = self.count.saturating_sub(u64::try_from(self.sealed.len()).unwrap_or(u64::MAX));
        self.sealed.front().filter(|_| carried < last).cloned()
    }

    /// It is below.
    pub(super) fn drop_oldest(&mut self) {
        self.sealed.pop_front();
    }

    pub(super) fn sealed(&self) -> Vec<Arc<Layer>> {
        self.sealed.iter().cloned().collect()
    }

    pub(super) fn oldest_first(&self) -> Vec<&Rows> {
        self.sealed.iter().map(|layer| layer.rows()).chain([self.newest.rows()]).collect()
    }
}
