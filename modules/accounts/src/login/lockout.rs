//! How long a login is locked after failed tries: nothing but arithmetic.

use holdfast_domain::UnixMs;

use crate::limits::{FIRST_LOCK_MS, FREE_FAILURES, MAX_LOCK_MS};

/// What a login remembers of failed tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Failures {
    /// Since the last one that succeeded.
    pub(crate) count: u32,
    /// Until then no try is looked at.
    pub(crate) locked_until: UnixMs,
}

impl Failures {
    pub(crate) fn locked(self, now: UnixMs) -> bool {
        now < self.locked_until
    }

    /// One more. Each try is counted before its password is looked at, and forgiven if it was right: so many at once are as many.
    pub(crate) fn one_more(self, now: UnixMs) -> Self {
        let count = self.count.saturating_add(1);
        Self { count, locked_until: UnixMs(now.0.saturating_add(lock_ms(count))) }
    }
}

fn lock_ms(failures: u32) -> u64 {
    match failures.checked_sub(FREE_FAILURES + 1) {
        None => 0,
        Some(beyond) => {
            let doubled = 1_u64.checked_shl(beyond.min(32)).unwrap_or(u64::MAX);
            FIRST_LOCK_MS.saturating_mul(doubled).min(MAX_LOCK_MS)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn some_tries_are_free_and_then_waiting_doubles_up_to_a_bound() {
        let seconds: Vec<_> = (1..=12).map(|failures| lock_ms(failures) / 1000).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 15, 30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn a_lock_ends_by_itself() {
        let mut failures = Failures::default();
        for _ in 0..=FREE_FAILURES {
            assert!(!failures.locked(UnixMs(1000)));
            failures = failures.one_more(UnixMs(1000));
        }
        assert!(failures.locked(UnixMs(1000)) && failures.locked(UnixMs(15_999)));
        assert!(!failures.locked(UnixMs(16_000)));
    }

    proptest! {
        #[test]
        fn invariant_a_lock_is_never_longer_than_its_bound_and_never_overflows(count: u32, now: u64) {
            let failures = Failures { count, locked_until: UnixMs(0) }.one_more(UnixMs(now));
            prop_assert!(failures.locked_until.0 >= now);
            prop_assert!(failures.locked_until.0 - now <= MAX_LOCK_MS);
        }
    }
}
