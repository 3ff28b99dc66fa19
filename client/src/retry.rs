//! When to try again: a pure state machine. Time and randomness come in, a decision comes out.

use crate::limits::{FIRST_PAUSE_MS, LONGEST_PAUSE_MS, MAX_STALE_MAPS};

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server knows a newer shard map.
    StaleMap(NewerMap),
    /// Nobody answered, or the answer was to come again.
    Unavailable,
    /// Trying again cannot help.
    Final,
}

/// Where the newer map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewerMap {
    /// In the refusal.
    Attached,
    /// At the registry.
    Elsewhere,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait, do something about the map, try again with the same command id.
    Again {
        /// How long to wait first.
        after_ms: u64,
        /// What to do about the map.
        map: MapStep,
    },
    /// Report the failure.
    GiveUp,
}

/// What to do about the map before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapStep {
    /// It is good.
    Keep,
    /// Take the one that came with the refusal.
    TakeAttached,
    /// Ask the registry for a newer one.
    AskRegistry,
}

/// The tries of one operation.
#[derive(Debug, Clone)]
pub struct Retry {
    patience_ms: u64,
    progress_at_ms: u64,
    unavailable: u32,
    stale: u32,
}

impl Retry {
    /// Begins; moments are milliseconds on any clock that does not run backwards.
    pub const fn new(patience_ms: u64, now_ms: u64) -> Self {
        Self { patience_ms, progress_at_ms: now_ms, unavailable: 0, stale: 0 }
    }

    /// Something was achieved: patience and pauses begin anew.
    pub const fn progressed(&mut self, now_ms: u64) {
        self.progress_at_ms = now_ms;
        self.unavailable = 0;
        self.stale = 0;
    }

    /// Decides after a failure. `jitter` is random: it spreads the clients of a server that comes back.
    pub fn after(&mut self, failure: Failure, now_ms: u64, jitter: u16) -> Step {
        let (pause, map) = match failure {
            Failure::Final => return Step::GiveUp,
            Failure::StaleMap(newer) => {
                self.stale += 1;
                if self.stale > MAX_STALE_MAPS {
                    return Step::GiveUp;
                }
                let map = match newer {
                    NewerMap::Attached => MapStep::TakeAttached,
                    NewerMap::Elsewhere => MapStep::AskRegistry,
                };
                // The first time the new map is simply right; after that the group is on the move.
                (if self.stale == 1 { 0 } else { pause_ms(self.stale, jitter) }, map)
            }
            Failure::Unavailable => {
                self.unavailable += 1;
                // A server that stays silent may have lost the group to another one.
                let map = if self.unavailable > 1 { MapStep::AskRegistry } else { MapStep::Keep };
                (pause_ms(self.unavailable, jitter), map)
            }
        };
        let waited = now_ms.saturating_sub(self.progress_at_ms);
        if waited.saturating_add(pause) >= self.patience_ms {
            Step::GiveUp
        } else {
            Step::Again { after_ms: pause, map }
        }
    }
}

/// Doubles from [`FIRST_PAUSE_MS`] to [`LONGEST_PAUSE_MS`]; jitter takes away up to half.
fn pause_ms(attempt: u32, jitter: u16) -> u64 {
    let doubled = FIRST_PAUSE_MS.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let full = doubled.min(LONGEST_PAUSE_MS);
    full - full / 2 * u64::from(jitter) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: u64 = 10_000;

    #[test]
    fn a_stale_map_is_replaced_and_tried_at_once() {
        let mut retry = Retry::new(PATIENCE, 0);
        let step = retry.after(Failure::StaleMap(NewerMap::Attached), 1, 0);
        assert_eq!(step, Step::Again { after_ms: 0, map: MapStep::TakeAttached });
        let step = retry.after(Failure::StaleMap(NewerMap::Elsewhere), 2, 0);
        assert!(matches!(step, Step::Again { after_ms: 1.., map: MapStep::AskRegistry }));
    }

    #[test]
    fn maps_that_never_settle_are_given_up_on() {
        let mut retry = Retry::new(u64::MAX, 0);
        let stale = Failure::StaleMap(NewerMap::Attached);
        for _ in 0..MAX_STALE_MAPS {
            assert!(matches!(retry.after(stale, 0, 0), Step::Again { .. }));
        }
        assert_eq!(retry.after(stale, 0, 0), Step::GiveUp);
    }

    #[test]
    fn a_final_failure_is_never_repeated() {
        assert_eq!(Retry::new(u64::MAX, 0).after(Failure::Final, 0, 0), Step::GiveUp);
    }

    #[test]
    fn patience_counts_from_the_last_progress() {
        let mut retry = Retry::new(PATIENCE, 0);
        retry.progressed(9_000);
        assert!(matches!(retry.after(Failure::Unavailable, 15_000, 0), Step::Again { .. }));
        assert_eq!(retry.after(Failure::Unavailable, 19_000, 0), Step::GiveUp);
    }

    #[test]
    fn a_server_that_stays_silent_makes_us_ask_for_the_map() {
        let mut retry = Retry::new(PATIENCE, 0);
        assert!(matches!(retry.after(Failure::Unavailable, 0, 0), Step::Again { map: MapStep::Keep, .. }));
        let second = retry.after(Failure::Unavailable, 0, 0);
        assert!(matches!(second, Step::Again { map: MapStep::AskRegistry, .. }));
    }

    proptest! {
        #[test]
        fn invariant_every_sequence_ends_within_patience(
            failures in prop::collection::vec((0u8..3, any::<u16>()), 1..200),
            patience in 0u64..60_000,
        ) {
            let (mut retry, mut now) = (Retry::new(patience, 0), 0);
            for (kind, jitter) in failures {
                let failure = match kind {
                    0 => Failure::StaleMap(NewerMap::Attached),
                    1 => Failure::StaleMap(NewerMap::Elsewhere),
                    _ => Failure::Unavailable,
                };
                let Step::Again { after_ms, .. } = retry.after(failure, now, jitter) else { break };
                prop_assert!(after_ms <= LONGEST_PAUSE_MS);
                now += after_ms;
                prop_assert!(now < patience);
            }
        }
    }
}
