//! Which names the engine below may have: asking it for one that it never had means a walk down its tree for nothing.
//!
//! Filters that never forget: a name that goes down is added before it does, and one that is deleted stays until the next start. So "no"
//! is certain once all names of before are in, and "maybe" only costs the walk.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use fastbloom::{BloomFilter, DefaultHasher};

use crate::limits::MAX_NAME_FILTERS_BYTES;

/// Names in the first filter; each further one takes twice as many as the one before.
const FIRST_FILTER: usize = 64 * 1024;
/// Share of absent names that a full filter takes for present.
const FALSE_POSITIVES: f64 = 0.005;

/// See the module.
pub(super) struct Names(RwLock<Known>);

enum Known {
    /// Names of before the start are still being read.
    Growing(Filters),
    All(Filters),
    /// More names than there is memory for: every name may be there.
    TooMany,
}

#[derive(Default)]
struct Filters {
    /// The newest last; only it takes names.
    filters: Vec<Filter>,
    hasher: DefaultHasher,
}

struct Filter {
    bits: BloomFilter,
    room: usize,
}

impl Names {
    pub(super) fn new() -> Self {
        Self(RwLock::new(Known::Growing(Filters::default())))
    }

    /// False for what the engine below does not have.
    pub(super) fn may_have(&self, name: &[u8]) -> bool {
        match &*self.read() {
            Known::All(filters) => filters.may_have(name),
            Known::Growing(_) | Known::TooMany => true,
        }
    }

    /// They go down, or are there.
    pub(super) fn add<'a>(&self, names: impl Iterator<Item = &'a [u8]>) {
        let mut known = self.write();
        if let Known::Growing(filters) | Known::All(filters) = &mut *known {
            names.for_each(|name| filters.add(name));
            if filters.bytes() > MAX_NAME_FILTERS_BYTES {
                *known = Known::TooMany;
            }
        }
    }

    /// Every name that was there at the start was added.
    pub(super) fn complete(&self) {
        let mut known = self.write();
        if let Known::Growing(filters) = &mut *known {
            *known = Known::All(std::mem::take(filters));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filters {
    fn may_have(&self, name: &[u8]) -> bool {
        let hash = self.hash(name);
        self.filters.iter().any(|filter| filter.bits.contains_hash(hash))
    }

    fn add(&mut self, name: &[u8]) {
        let hash = self.hash(name);
        // What is written again and again fills nothing.
        if self.filters.iter().any(|filter| filter.bits.contains_hash(hash)) {
            return;
        }
        if self.filters.last().is_none_or(|newest| newest.room == 0) {
            self.filters.push(Filter::with_room(FIRST_FILTER << self.filters.len()));
        }
        if let Some(newest) = self.filters.last_mut() {
            newest.bits.insert_hash(hash);
            newest.room = newest.room.saturating_sub(1);
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        std::hash::BuildHasher::hash_one(&self.hasher, name)
    }

    fn bytes(&self) -> usize {
        self.filters.iter().map(|filter| filter.bits.num_bits() / 8).sum()
    }
}

impl Filter {
    fn with_room(room: usize) -> Self {
        Self { bits: BloomFilter::with_false_pos(FALSE_POSITIVES).expected_items(room), room }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_precision_loss, clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn numbers(of: std::ops::Range<u32>) -> impl Iterator<Item = [u8; 4]> {
        of.map(u32::to_be_bytes)
    }

    fn add(names: &Names, of: std::ops::Range<u32>) {
        numbers(of).for_each(|name| names.add(std::iter::once(&name[..])));
    }

    #[test]
    fn nothing_is_denied_before_all_is_known() {
        let names = Names::new();
        assert!(names.may_have(b"row"));
        names.complete();
        assert!(!names.may_have(b"row"));
        names.add(std::iter::once(&b"row"[..]));
        assert!(names.may_have(b"row"));
    }

    #[test]
    fn what_was_added_is_never_denied_and_little_else_is_believed() {
        let names = Names::new();
        // Three filters, the second and third begun after the first is full.
        add(&names, 0..200_000);
        names.complete();
        add(&names, 200_000..300_000);
        assert!(numbers(0..300_000).all(|name| names.may_have(&name)));
        let believed = numbers(1_000_000..1_100_000).filter(|name| names.may_have(name)).count();
        assert!(believed < 3 * 500, "{believed} of 100,000");
    }

    #[test]
    fn a_name_that_is_written_again_takes_no_room() {
        let names = Names::new();
        for _ in 0..10 {
            add(&names, 0..50_000);
        }
        let Known::Growing(filters) = &*names.read() else { panic!() };
        assert_eq!(filters.filters.len(), 1);
    }
}
