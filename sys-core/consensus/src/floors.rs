//! What members acknowledged, as far as this replica knows: persistent, so that a member whose disk was put back to an older state
//! is told so before it takes part again.
//!
//! A leader learns it from the answers to its entries, a candidate from the votes that it gets; the leader spreads it with its
//! entries and heartbeats, when it grew and at the pace of heartbeats. It is written beside other writes of the log, with no sync of
//! its own, and once more before the group sleeps: a crash of all forgets at most what was acknowledged since the last write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_domain::ReplicaId;
use tokio::time::Instant;

use crate::log::Witness;
use crate::{Floor, limits};

/// See the module.
pub(crate) struct Floors {
    log: Witness,
    /// Least time between two writes, and between two messages of it to a member.
    pace: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    known: BTreeMap<u64, Floor>,
    /// Counts changes.
    version: u64,
    written: Option<(u64, Instant)>,
    told: BTreeMap<u64, (u64, Instant)>,
}

impl Floors {
    /// With what the log holds.
    pub(crate) fn new(log: Witness, pace: Duration) -> Self {
        let known = log.floors().into_iter().collect();
        Self { log, pace, table: Mutex::new(Table { known, ..Table::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a member acknowledged, as far as known.
    pub(crate) fn of(&self, replica: ReplicaId) -> Option<Floor> {
        self.lock().known.get(&replica.0).copied()
    }

    /// A member acknowledged something.
    pub(crate) fn raise(&self, replica: ReplicaId, floor: Floor) {
        self.raise_all(&[(replica.0, floor)]);
    }

    /// A leader knows of what members acknowledged, when this replica's log reaches `last`.
    ///
    /// What counts was committed, so this replica has it or is told again when it has: its own log bounds what a leader may claim, or
    /// one that lies would have members taken for rolled back at their next start.
    pub(crate) fn hear(&self, told: &[(u64, Floor)], last: u64) {
        self.raise_all(&bounded(told, last));
    }

    fn raise_all(&self, floors: &[(u64, Floor)]) {
        let mut table = self.lock();
        for (replica, floor) in floors {
            let known = table.known.get(replica).copied();
            if known < Some(*floor) {
                table.known.insert(*replica, *floor);
                table.version = table.version.saturating_add(1);
            }
        }
        // The smallest go first: replica ids grow, and never come back.
        while table.known.len() > limits::MAX_FLOORS {
            table.known.pop_first();
        }
        self.write(&mut table, false);
    }

    /// What to tell a member now.
    pub(crate) fn news_for(&self, replica: ReplicaId) -> Vec<(u64, Floor)> {
        let mut table = self.lock();
        self.write(&mut table, false);
        let (version, now) = (table.version, Instant::now());
        let told = table.told.get(&replica.0);
        if version == 0 || told.is_some_and(|(told, at)| *told == version || now < *at + self.pace) {
            return Vec::new();
        }
        table.told.insert(replica.0, (version, now));
        table.known.iter().map(|(replica, floor)| (*replica, *floor)).collect()
    }

    /// What was told did not arrive.
    pub(crate) fn not_told(&self, replica: ReplicaId) {
        self.lock().told.remove(&replica.0);
    }

    /// Writes what is not written yet, in the background.
    pub(crate) async fn flush(&self) {
        let unwritten = self.write(&mut self.lock(), true);
        if unwritten {
            self.log.write_lazy_values().await;
        }
    }

    fn write(&self, table: &mut Table, at_once: bool) -> bool {
        let now = Instant::now();
        let due = table
            .written
            .is_none_or(|(version, at)| version != table.version && (at_once || now >= at + self.pace));
        if table.version > 0 && due {
            let floors: Vec<_> = table.known.iter().map(|(replica, floor)| (*replica, *floor)).collect();
            self.log.put_floors(&floors);
            table.written = Some((table.version, now));
        }
        due
    }
}

/// What is told, as far as a log that reaches `last` bears it out.
fn bounded(told: &[(u64, Floor)], last: u64) -> Vec<(u64, Floor)> {
    let bounded = |(id, floor): &(u64, Floor)| (*id, Floor { index: floor.index.min(last), ..*floor });
    told.iter().map(bounded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_no_leader_claims_more_than_the_log_bears_out() {
        let floor = |term, index| Floor { term, index };
        let told = [(1, floor(3, limits::MAX_NUMBER)), (2, floor(3, 7)), (3, floor(2, 90))];
        assert_eq!(bounded(&told, 40), [(1, floor(3, 40)), (2, floor(3, 7)), (3, floor(2, 40))]);
    }
}
