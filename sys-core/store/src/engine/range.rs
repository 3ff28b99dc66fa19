//! Half-open key ranges and the pages that scans return.

use bytes::Bytes;

use crate::limits::{MAX_SCAN_BYTES, MAX_SCAN_ROWS};

/// Keys from `start` (included) to `end` (excluded; `None` is the end of the store).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    start: Bytes,
    end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Every key that starts with `prefix`.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start = prefix.into();
        let end = successor(&start);
        Self { start, end }
    }

    /// Keys from `start` up to, without, `end`.
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// The rest of this range from `start` on, as for [`Page::next`]. A start before the range changes nothing.
    #[must_use]
    pub fn starting_at(&self, start: impl Into<Bytes>) -> Self {
        Self { start: start.into().max(self.start.clone()), end: self.end.clone() }
    }

    /// What both ranges hold.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(a.min(b).clone()),
            (end, None) | (None, end) => end.clone(),
        };
        Self { start: self.start.clone().max(other.start.clone()), end }
    }

    /// First key that can be inside.
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    /// First key past the range, if it ends before the store does.
    pub fn end(&self) -> Option<&Bytes> {
        self.end.as_ref()
    }

    /// Whether a key lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &*self.start && self.end.as_ref().is_none_or(|end| key < &**end)
    }

    /// Whether no key can lie inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The smallest byte string above everything that starts with `prefix`.
fn successor(prefix: &[u8]) -> Option<Bytes> {
    let (&last, rest) = prefix.split_last()?;
    match last.checked_add(1) {
        Some(next) => Some([rest, &[next]].concat().into()),
        None => successor(rest),
    }
}

/// The smallest key above `key`.
pub(super) fn next_key(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// How much one scan may return; never more than the limits of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimit {
    rows: usize,
    bytes: usize,
}

impl ScanLimit {
    /// As much as a page may ever hold.
    pub const MAX: Self = Self { rows: MAX_SCAN_ROWS, bytes: MAX_SCAN_BYTES };

    /// At most this many rows, at least one.
    pub fn rows(rows: usize) -> Self {
        Self { rows: rows.clamp(1, MAX_SCAN_ROWS), ..Self::MAX }
    }

    /// At most this many bytes of keys and values beyond the first row.
    #[must_use]
    pub fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes: bytes.min(MAX_SCAN_BYTES), ..self }
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
}

/// Rows in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The rows.
    pub rows: Vec<Row>,
    /// Where to go on ([`KeyRange::starting_at`]) when the limit ended the page; `None` when the range did.
    pub next: Option<Bytes>,
}

/// Collects rows up to a limit.
pub(super) struct PageBuilder {
    page: Page,
    limit: ScanLimit,
    bytes: usize,
}

/// Whether a page takes more rows.
#[derive(PartialEq, Eq)]
pub(super) enum Room {
    Left,
    Full,
}

impl PageBuilder {
    pub(super) fn new(limit: ScanLimit) -> Self {
        Self { page: Page::default(), limit, bytes: 0 }
    }

    /// Adds a row; afterwards a full page has its `next` set.
    pub(super) fn push(&mut self, row: Row) -> Room {
        self.bytes = self.bytes.saturating_add(row.key.len()).saturating_add(row.value.len());
        let full =
            self.page.rows.len().saturating_add(1) >= self.limit.rows || self.bytes >= self.limit.bytes;
        if full {
            self.page.next = Some(next_key(&row.key));
        }
        self.page.rows.push(row);
        if full { Room::Full } else { Room::Left }
    }

    pub(super) fn finish(self) -> Page {
        self.page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_prefix_of_all_ones_runs_to_the_end_of_the_store() {
        assert_eq!(KeyRange::prefix(&[0xff, 0xff][..]).end(), None);
        assert_eq!(KeyRange::prefix(&[1, 0xff][..]).end(), Some(&Bytes::from_static(&[2])));
    }

    proptest! {
        #[test]
        fn a_prefix_range_holds_exactly_the_keys_with_the_prefix(
            prefix in prop::collection::vec(250u8.., 0..4),
            key in prop::collection::vec(250u8.., 0..6),
        ) {
            let range = KeyRange::prefix(prefix.clone());
            prop_assert_eq!(range.contains(&key), key.starts_with(&prefix));
        }

        #[test]
        fn an_intersection_holds_what_both_hold(a in any::<[u8; 2]>(), b in any::<[u8; 2]>(), c in any::<[u8; 2]>(), key in any::<[u8; 2]>()) {
            let left = KeyRange::between(a.to_vec(), b.to_vec());
            let right = KeyRange::prefix(c[..1].to_vec());
            let both = left.intersection(&right);
            prop_assert_eq!(both.contains(&key), left.contains(&key) && right.contains(&key));
            if both.is_empty() {
                prop_assert!(!both.contains(&key));
            }
        }
    }
}
