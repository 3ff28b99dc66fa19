//! Points in time over sled, which has none: the first change of a key under an open view keeps its old value.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{
    super::{
        EngineError, KeyRange, Page, ScanLimit, View,
        merge::{Rows, merge},
    },
    Shared, copied,
};

/// What changed under one view since it was opened.
pub(super) struct Overlay {
    range: KeyRange,
    limit: usize,
    before: Mutex<Before>,
}

#[derive(Default)]
struct Before {
    /// Value at the view's point in time of every key that changed since; `None` was absent.
    values: Rows,
    bytes: usize,
    overflowed: bool,
}

impl Overlay {
    pub(super) fn new(range: KeyRange, limit: usize) -> Self {
        Self { range, limit, before: Mutex::default() }
    }

    /// Keeps the current value of a key that is about to change. Writers call it under the gate.
    pub(super) fn remember(
        &self,
        key: &Bytes,
        current: impl FnOnce() -> sled::Result<Option<sled::IVec>>,
    ) -> sled::Result<()> {
        if !self.range.contains(key) {
            return Ok(());
        }
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.overflowed || before.values.contains_key(key) {
            return Ok(());
        }
        let value = current()?.as_deref().map(copied);
        let size = key.len().saturating_add(value.as_ref().map_or(0, Bytes::len));
        before.bytes = before.bytes.saturating_add(size);
        if before.bytes > self.limit {
            // A view that forgets is no view: better none than a wrong one, and writes go on.
            *before = Before { overflowed: true, ..Before::default() };
        } else {
            before.values.insert(key.clone(), value);
        }
        Ok(())
    }
}

pub(super) struct SledView {
    shared: Arc<Shared>,
    overlay: Arc<Overlay>,
}

impl SledView {
    pub(super) fn new(shared: Arc<Shared>, overlay: Arc<Overlay>) -> Self {
        Self { shared, overlay }
    }
}

impl View for SledView {
    fn range(&self) -> &KeyRange {
        &self.overlay.range
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        let range = range.intersection(&self.overlay.range);
        let _gate = self.shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        let before = self.overlay.before.lock().unwrap_or_else(PoisonError::into_inner);
        if before.overflowed {
            return Err(EngineError::ViewOverflow { limit: self.overlay.limit });
        }
        let current = self.shared.page(&range, limit)?;
        Ok(merge(current, &before.values, &range, limit))
    }
}
