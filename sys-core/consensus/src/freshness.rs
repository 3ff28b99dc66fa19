//! How old a follower's knowledge of the commit index is, by its own clock alone.
//!
//! A follower puts a stamp of its clock into each answer; the leader sends the latest one back with its next entries or heartbeat,
//! together with the age of its last confirmation by a quorum. So the follower knows a time of its own clock that lies before the
//! moment at which that quorum stood behind that leader: everything committed until then has at most the commit index that came
//! along, provided that it is of the leader's own term. Delays on the way, paused processes and deposed leaders make an answer
//! older, never newer than it is.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A number that no earlier incarnation used, with room to count on from it.
pub(crate) fn random_number() -> u64 {
    std::hash::RandomState::new().build_hasher().finish() >> 2
}

/// What a leader tells with its entries and heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The follower's own latest stamp that the leader had; 0 for none.
    pub(crate) echo: u64,
    /// Since the leader was last confirmed by a quorum.
    pub(crate) quorum_age: Option<Duration>,
    /// The commit index at the moment of that age, if it is of the leader's own term.
    pub(crate) commit: Option<u64>,
}

/// See the module.
pub(crate) struct Freshness {
    born: Instant,
    /// Stamps count from here, so that those of an earlier incarnation mean nothing.
    base: u64,
    known: Mutex<Option<(Instant, u64)>>,
}

impl Freshness {
    pub(crate) fn new() -> Self {
        Self { born: Instant::now(), base: random_number(), known: Mutex::default() }
    }

    /// The stamp of a time.
    pub(crate) fn stamp(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.born).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.base.saturating_add(since).saturating_add(1)
    }

    /// Takes what a leader told.
    pub(crate) fn hear(&self, now: Instant, heard: Heard) {
        let Heard { echo, quorum_age: Some(age), commit: Some(commit) } = heard else { return };
        if echo > self.stamp(now) {
            return;
        }
        let Some(since) = echo.checked_sub(self.base) else { return };
        // The stamp was rounded up by less than a millisecond.
        let since = Duration::from_millis(since.saturating_sub(1));
        let Some(as_of) = self.born.checked_add(since).and_then(|at| at.checked_sub(age)) else { return };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((newest, _)) if as_of < newest => {}
            // Commits never go back: what says less was written before what is known.
            Some((_, newest)) => *known = Some((as_of, commit.max(newest))),
            None => *known = Some((as_of, commit)),
        }
    }

    /// The commit index to have applied for an answer that misses at most what was committed in the last `age`.
    pub(crate) fn within(&self, now: Instant, age: Duration) -> Option<u64> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.filter(|(as_of, _)| now.saturating_duration_since(*as_of) <= age).map(|(_, commit)| commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(echo: u64, age_ms: u64, commit: u64) -> Heard {
        Heard { echo, quorum_age: Some(Duration::from_millis(age_ms)), commit: Some(commit) }
    }

    #[test]
    fn knowledge_is_as_old_as_the_stamp_and_the_quorum_together() {
        let freshness = Freshness::new();
        let at = |ms| freshness.born + Duration::from_millis(ms);
        let stamp = freshness.stamp(at(10_000));
        freshness.hear(at(10_100), heard(stamp, 50, 7));
        assert_eq!(freshness.within(at(10_100), Duration::from_millis(150)), Some(7));
        assert_eq!(freshness.within(at(10_100), Duration::from_millis(149)), None);
        // What comes late does not replace what is newer.
        freshness.hear(at(10_100), heard(stamp, 5_000, 3));
        assert_eq!(freshness.within(at(10_100), Duration::from_secs(60)), Some(7));
        assert_eq!(freshness.within(at(70_100), Duration::from_secs(60)), None);
    }

    #[test]
    fn invariant_an_older_commit_index_replaces_no_newer_one() {
        let freshness = Freshness::new();
        let at = |ms| freshness.born + Duration::from_millis(ms);
        freshness.hear(at(1_000), heard(freshness.stamp(at(900)), 0, 7));
        freshness.hear(at(2_000), heard(freshness.stamp(at(1_900)), 0, 5));
        assert_eq!(freshness.within(at(2_000), Duration::from_secs(60)), Some(7));
        assert_eq!(freshness.within(at(2_000), Duration::from_millis(101)), Some(7), "as of the later time");
    }

    #[test]
    fn stamps_of_nobody_and_unconfirmed_leaders_tell_nothing() {
        let freshness = Freshness::new();
        let now = freshness.born + Duration::from_secs(1);
        let stamp = freshness.stamp(now);
        for unusable in [
            heard(0, 0, 1),
            heard(stamp + 1, 0, 1),
            heard(stamp - 5_000, 0, 1),
            Heard { quorum_age: None, ..heard(stamp, 0, 1) },
            Heard { commit: None, ..heard(stamp, 0, 1) },
        ] {
            freshness.hear(now, unusable);
            assert_eq!(freshness.within(now, Duration::MAX), None, "{unusable:?}");
        }
    }
}
