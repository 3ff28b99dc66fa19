//! When to try again: a pure state machine. Time and randomness come in, a decision comes out.

use crate::limits::{
    FIRST_PAUSE_MS, LONGEST_PAUSE_MS, MAX_ROUND, MOVING_PAUSE_MS, MOVING_TRIES, PATIENT_SHARE, ROUND_PAUSE_MS,
};

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server knows a newer shard map.
    StaleMap(NewerMap),
    /// This server did not help; another one that may was not asked yet.
    NextServer,
    /// No server helped: none answered, or nobody leads.
    NoServer,
    /// What was asked for is being handed over, which takes a moment.
    Moving,
    /// The server has too much to do.
    Busy,
    /// Trying again cannot help.
    Final,
}

/// Where the newer map is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewerMap {
    /// In the refusal.
    Attached,
    /// At the server, which had no room for it in the refusal.
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
    /// Ask the server for its own, and wait for it.
    AskServer,
    /// Look for a newer one without waiting for it.
    Refresh,
}

/// The tries of one operation.
#[derive(Debug, Clone)]
pub struct Retry {
    patience_ms: u64,
    progress_at_ms: u64,
    /// Tries without a pause since the last one.
    at_once: u32,
    rounds: u32,
    busy: u32,
    stale: u32,
    moving: u32,
}

impl Retry {
    /// Begins; moments are milliseconds on any clock that does not run backwards.
    pub const fn new(patience_ms: u64, now_ms: u64) -> Self {
        let (at_once, rounds, busy, stale, moving) = (0, 0, 0, 0, 0);
        Self { patience_ms, progress_at_ms: now_ms, at_once, rounds, busy, stale, moving }
    }

    /// Something was achieved: patience and pauses begin anew.
    pub const fn progressed(&mut self, now_ms: u64) {
        *self = Self::new(self.patience_ms, now_ms);
    }

    /// Patience that is left: no try may take longer.
    pub const fn left_ms(&self, now_ms: u64) -> u64 {
        self.patience_ms.saturating_sub(now_ms.saturating_sub(self.progress_at_ms))
    }

    /// Decides after a failure. `jitter` is random: it spreads the clients of a server that comes back.
    pub fn after(&mut self, failure: Failure, now_ms: u64, jitter: u16) -> Step {
        let (pause, map) = match failure {
            Failure::Final => return Step::GiveUp,
            Failure::StaleMap(newer) => {
                let map = match newer {
                    NewerMap::Attached => MapStep::TakeAttached,
                    NewerMap::Elsewhere => MapStep::AskServer,
                };
                let before = count(&mut self.stale);
                // The first time the new map is simply right; after that the group is on the move.
                (if before == 0 { 0 } else { doubled(FIRST_PAUSE_MS, before, LONGEST_PAUSE_MS) }, map)
            }
            Failure::NextServer if count(&mut self.at_once) < MAX_ROUND => (0, MapStep::Keep),
            // More servers than a group has: they send us in circles.
            Failure::NextServer | Failure::NoServer => {
                self.at_once = 0;
                let waited = now_ms.saturating_sub(self.progress_at_ms);
                let longest = (waited / PATIENT_SHARE).clamp(ROUND_PAUSE_MS, LONGEST_PAUSE_MS);
                (doubled(FIRST_PAUSE_MS, count(&mut self.rounds), longest), MapStep::Refresh)
            }
            Failure::Moving => {
                let before = count(&mut self.moving) / MOVING_TRIES;
                (doubled(MOVING_PAUSE_MS, before, ROUND_PAUSE_MS), MapStep::Keep)
            }
            Failure::Busy => {
                (doubled(FIRST_PAUSE_MS, count(&mut self.busy), LONGEST_PAUSE_MS), MapStep::Keep)
            }
        };
        let pause = spread(pause, jitter);
        if pause >= self.left_ms(now_ms) { Step::GiveUp } else { Step::Again { after_ms: pause, map } }
    }
}

/// Counts one more and tells how many there were.
fn count(counter: &mut u32) -> u32 {
    let before = *counter;
    *counter = before.saturating_add(1);
    before
}

fn doubled(first: u64, times: u32, longest: u64) -> u64 {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

/// Jitter takes away up to half.
fn spread(pause: u64, jitter: u16) -> u64 {
    pause - pause / 2 * u64::from(jitter) / u64::from(u16::MAX)
}

#[cfg(test)]
mod tests;
