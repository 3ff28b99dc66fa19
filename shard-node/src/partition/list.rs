//! Listing by prefix: one range for each prefix, name key generation and number of components.

use bytes::Bytes;
use holdfast_domain::{Reason, Slot};
use holdfast_keys::{WrapKey, derive};
use holdfast_store::{KeyRange, ScanLimit, limits::MAX_COMPONENTS, records::RowKind};
use holdfast_sys_core::{
    errors::Refusal,
    limits::MAX_SCAN_PREFIXES,
    module::{Cursor, Page, RecordKey, Row, Scan, Select},
};

use super::{
    ShardGroup,
    cursor::{Listing, Position},
    refusals,
    rows::{Found, HomeRows, module_row},
};
use crate::{
    limits::{MAX_LIST_BYTES, MAX_LIST_ROWS, MAX_LIST_VISITED_BYTES, MAX_LIST_VISITS},
    machine::{Table, slot_key},
};

impl ShardGroup {
    /// One page. Blocks.
    pub(super) fn list(
        &self,
        listing: &Listing<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let Some(rows) = self.rows(&listing.at)? else {
            // No cursor ever came from a home that never wrote.
            let none = || Refusal::new(Reason::Malformed).because("a cursor of another home");
            return cursor.map_or(Ok(Page { rows: Vec::new(), next: None }), |_| Err(none()));
        };
        let key = self.cursor_key(&rows, listing.at.slot)?;
        let from = cursor.map(|cursor| listing.open(&key, cursor)).transpose()?;
        let Scan { prefixes, select, bound_to: _ } = listing.scan;
        if prefixes.len() > MAX_SCAN_PREFIXES {
            return Err(Refusal::new(Reason::Malformed).because("too many prefixes"));
        }
        let mut ranges = Vec::new();
        for prefix in prefixes {
            ranges.extend(ranges_under(&rows, prefix)?);
        }
        let mut filling = Filling::new(&**select, limit.clamp(1, MAX_LIST_ROWS));
        let (first, mut start) = from.map_or((0, None), |Position { range, start }| (range, Some(start.0)));
        for (number, range) in (0u16..).zip(&ranges).skip(first.into()) {
            let range = start.take().map_or_else(|| range.clone(), |start| range.starting_at(start));
            if let Some(next) = filling.visit(&rows, range)? {
                let next = listing.seal(&key, &Position { range: number, start: next.into() })?;
                return Ok(Page { rows: filling.found, next: Some(next) });
            }
        }
        Ok(Page { rows: filling.found, next: None })
    }

    fn cursor_key(&self, rows: &HomeRows<'_>, slot: Slot) -> Result<WrapKey, Refusal> {
        let row = rows.reader.get_raw(Table::SlotKeyrings, &slot_key(slot))?;
        let row = row.ok_or_else(|| Refusal::new(Reason::WrongGroup))?;
        Ok(derive::cursor_key(&self.state().open_slot(slot, &row)?.keyring.locator))
    }
}

/// Ranges of record keys that together hold every row under the prefix.
fn ranges_under(rows: &HomeRows<'_>, prefix: &RecordKey) -> Result<Vec<KeyRange>, Refusal> {
    let codec = rows.codec();
    let scope = codec.scope(RowKind::PRIMARY);
    let mut ranges = Vec::new();
    for (_, tokenizer) in codec.tokenizers(RowKind::PRIMARY).map_err(refusals::record)? {
        let tokens = tokenizer.tokens(prefix.components()).map_err(|error| refusals::record(error.into()))?;
        for components in tokens.len()..=MAX_COMPONENTS {
            ranges.push(scope.list(components, &tokens).map_err(|error| refusals::record(error.into()))?);
        }
    }
    Ok(ranges)
}

/// A page being filled.
struct Filling<'a> {
    select: &'a dyn Select,
    found: Vec<Row>,
    limit: usize,
    bytes: usize,
    visits: usize,
    visited_bytes: usize,
}

impl<'a> Filling<'a> {
    fn new(select: &'a dyn Select, limit: usize) -> Self {
        Self { select, found: Vec::new(), limit, bytes: 0, visits: 0, visited_bytes: 0 }
    }

    /// Takes rows of a range; returns where to go on when the page is full before the range ends.
    fn visit(&mut self, rows: &HomeRows<'_>, range: KeyRange) -> Result<Option<Bytes>, Refusal> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            if self.is_full() {
                return Ok(Some(range.start().clone()));
            }
            // A row that stands for another costs two visits.
            let visits = MAX_LIST_VISITS.saturating_sub(self.visits).div_ceil(2);
            let room = visits.min(self.limit - self.found.len());
            let limit = ScanLimit::rows(room).with_bytes(MAX_LIST_BYTES.saturating_sub(self.bytes));
            let page = rows.reader.scan(Table::Records, &range, limit)?;
            for row in page.rows {
                // Again for each: a row of an index is small, what it stands for need not be.
                if self.is_full() {
                    return Ok(Some(row.key));
                }
                self.take(rows, row.key, row.value)?;
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        Ok(None)
    }

    fn take(&mut self, rows: &HomeRows<'_>, key: Bytes, value: Bytes) -> Result<(), Refusal> {
        let (key, stored, opened) = rows.codec().open_row(key, value).map_err(refusals::record)?;
        let mut bytes = self.visited(stored.as_bytes().len());
        let visited = module_row(&Found { key, stored }, opened)?;
        let name = visited.key.clone();
        let row = match self.select.target(&name)? {
            None => visited,
            Some(target) => {
                let Some((found, opened)) = rows.get(RowKind::PRIMARY, target.components())? else {
                    return Ok(());
                };
                bytes = self.visited(found.stored.as_bytes().len());
                module_row(&found, opened)?
            }
        };
        if self.select.admits(&name, &row)? {
            self.bytes = self.bytes.saturating_add(bytes);
            self.found.push(row);
        }
        Ok(())
    }

    /// Counts a visit, given or not.
    fn visited(&mut self, bytes: usize) -> usize {
        self.visits += 1;
        self.visited_bytes = self.visited_bytes.saturating_add(bytes);
        bytes
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit
            || self.visits >= MAX_LIST_VISITS
            || self.bytes >= MAX_LIST_BYTES
            || self.visited_bytes >= MAX_LIST_VISITED_BYTES
    }
}
