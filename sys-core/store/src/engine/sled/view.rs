//! Points in time over sled, which has none: the first change of a key under an open view keeps its old value.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;

use super::{
    super::{
        EngineError, KeyRange, Page, Row, ScanLimit, View,
        range::{PageBuilder, Room},
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
    values: BTreeMap<Bytes, Option<Bytes>>,
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
        // The overlay counts as far as the page of current rows reaches, no further.
        let covered = match &current.next {
            Some(next) => KeyRange::between(range.start().clone(), next.clone()),
            None => range,
        };
        Ok(merge(current, &before.values, &covered, limit))
    }
}

/// Current rows and old values in key order; an old value, or its absence, wins over the current row.
fn merge(
    current: Page,
    before: &BTreeMap<Bytes, Option<Bytes>>,
    covered: &KeyRange,
    limit: ScanLimit,
) -> Page {
    let next = current.next;
    let unchanged = current.rows.into_iter().filter(|row| !before.contains_key(&row.key));
    let mut unchanged = unchanged.peekable();
    let changed = before.range(covered.start().clone()..).take_while(|(key, _)| covered.contains(key));
    let mut changed =
        changed.filter_map(|(key, value)| Some(Row { key: key.clone(), value: value.clone()? })).peekable();
    let mut page = PageBuilder::new(limit);
    loop {
        let row = match (unchanged.peek(), changed.peek()) {
            (Some(a), Some(b)) if a.key < b.key => unchanged.next(),
            (_, Some(_)) => changed.next(),
            (_, None) => unchanged.next(),
        };
        let Some(row) = row else { break };
        if page.push(row) == Room::Full {
            return page.finish();
        }
    }
    Page { next, ..page.finish() }
}
