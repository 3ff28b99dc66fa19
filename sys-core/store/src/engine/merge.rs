//! Pages of an engine with other rows laid over them.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    EngineError, KeyRange, Page, Row, ScanLimit,
    range::{PageBuilder, Room},
};

/// Rows by key; `None` is absent.
pub(super) type Rows = BTreeMap<Bytes, Option<Bytes>>;

/// A page with layers over it, a later one over earlier ones. Empty only when there is nothing left in the range.
pub(super) fn full_page(
    range: &KeyRange,
    limit: ScanLimit,
    layers: &[&Rows],
    scan: impl Fn(&KeyRange) -> Result<Page, EngineError>,
) -> Result<Page, EngineError> {
    let mut rest = range.clone();
    loop {
        let mut page = scan(&rest)?;
        for layer in layers {
            page = merge(page, layer, &rest, limit);
        }
        match &page.next {
            Some(next) if page.rows.is_empty() => rest = rest.starting_at(next.clone()),
            _ => return Ok(page),
        }
    }
}

/// The page of `range` and the rows over it in key order; a row over it, or its absence, wins.
pub(super) fn merge(page: Page, over: &Rows, range: &KeyRange, limit: ScanLimit) -> Page {
    let next = page.next;
    // They count as far as the page reaches, no further.
    let covered = match &next {
        Some(next) => KeyRange::between(range.start().clone(), next.clone()),
        None => range.clone(),
    };
    let below = page.rows.into_iter().filter(|row| !over.contains_key(&row.key));
    let mut below = below.peekable();
    let above = over.range(covered.start().clone()..).take_while(|(key, _)| covered.contains(key));
    let mut above =
        above.filter_map(|(key, value)| Some(Row { key: key.clone(), value: value.clone()? })).peekable();
    let mut page = PageBuilder::new(limit);
    loop {
        let row = match (below.peek(), above.peek()) {
            (Some(a), Some(b)) if a.key < b.key => below.next(),
            (_, Some(_)) => above.next(),
            (_, None) => below.next(),
        };
        let Some(row) = row else { break };
        if page.push(row) == Room::Full {
            return page.finish();
        }
    }
    Page { next, ..page.finish() }
}
