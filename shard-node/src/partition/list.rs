//! Listing by prefix: one range for each name key generation and number of components.

use bytes::Bytes;
use holdfast_store::{KeyRange, ScanLimit, limits::MAX_COMPONENTS, records::RowKind};
use holdfast_sys_core::{
    errors::Refusal,
    module::{Cursor, Page, RecordKey, Row},
};

use super::{
    ShardGroup,
    cursor::{Listing, Position},
    refusals,
    rows::{Found, HomeRows, module_row},
};
use crate::{
    limits::{MAX_LIST_BYTES, MAX_LIST_ROWS, MAX_LIST_VISITS},
    machine::Table,
};

impl ShardGroup {
    /// One page. Blocks.
    pub(super) fn list(
        &self,
        listing: &Listing<'_>,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Refusal> {
        let from = cursor.map(|cursor| listing.open(cursor)).transpose()?;
        let Some(rows) = self.rows(&listing.at)? else { return Ok(Page { rows: Vec::new(), next: None }) };
        let ranges = ranges(&rows, listing.prefix)?;
        let mut filling = Filling::new(limit.clamp(1, MAX_LIST_ROWS));
        let (first, mut start) = from.map_or((0, None), |Position { range, start }| (range, Some(start.0)));
        for (number, range) in (0u16..).zip(&ranges).skip(first.into()) {
            let range = start.take().map_or_else(|| range.clone(), |start| range.starting_at(start));
            if let Some(next) = filling.visit(&rows, range)? {
                let next = listing.seal(&Position { range: number, start: next.into() })?;
                return Ok(Page { rows: filling.found, next: Some(next) });
            }
        }
        Ok(Page { rows: filling.found, next: None })
    }
}

/// Ranges of record keys that together hold every row under the prefix.
fn ranges(rows: &HomeRows<'_>, prefix: &RecordKey) -> Result<Vec<KeyRange>, Refusal> {
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
struct Filling {
    found: Vec<Row>,
    limit: usize,
    bytes: usize,
    visits: usize,
}

impl Filling {
    fn new(limit: usize) -> Self {
        Self { found: Vec::new(), limit, bytes: 0, visits: 0 }
    }

    /// Takes rows of a range; returns where to go on when the page is full before the range ends.
    fn visit(&mut self, rows: &HomeRows<'_>, range: KeyRange) -> Result<Option<Bytes>, Refusal> {
        let mut rest = Some(range);
        while let Some(range) = rest {
            if self.is_full() {
                return Ok(Some(range.start().clone()));
            }
            let room = (self.limit - self.found.len()).min(MAX_LIST_VISITS - self.visits);
            let limit = ScanLimit::rows(room).with_bytes(MAX_LIST_BYTES.saturating_sub(self.bytes));
            let page = rows.reader.scan(Table::Records, &range, limit)?;
            for row in page.rows {
                self.visits += 1;
                self.take(rows, row.key, row.value)?;
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        Ok(None)
    }

    fn take(&mut self, rows: &HomeRows<'_>, key: Bytes, value: Bytes) -> Result<(), Refusal> {
        let (key, stored, opened) = rows.codec().open_row(key, value).map_err(refusals::record)?;
        self.bytes = self.bytes.saturating_add(stored.as_bytes().len());
        self.found.push(module_row(&Found { key, stored }, opened)?);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit || self.visits >= MAX_LIST_VISITS || self.bytes >= MAX_LIST_BYTES
    }
}
