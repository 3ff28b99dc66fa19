//! What nodes said of themselves lately: soft state of each voter, which nobody commits. The leading voter commits what it means:
//! see [`Health::acts`].
//!
//! Time here is the process' own monotonic clock: a clock that is set must not take all nodes for lost.

mod acts;
mod read;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use holdfast_domain::{GroupDescriptor, GroupId, MapEpoch, NodeId, ReplicaId, ReplicaState};
use holdfast_registry_state::{Observed, State};

use crate::limits::ALIVE;

pub use read::Unreadable;

/// One node's last words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    zone: String,
    demands_hardware: bool,
    free_bytes: u64,
    replicas: BTreeMap<(GroupId, ReplicaId), ReplicaHealth>,
    slot_moves: BTreeMap<MapEpoch, SlotProgress>,
}

/// A replica, as its node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaHealth {
    /// It leads its group.
    pub leads: bool,
    /// Its term.
    pub term: u64,
    /// Last entry of its log.
    pub last_log: u64,
    /// Last entry that it applied.
    pub applied: u64,
    /// Its records.
    pub records: u64,
    /// What they take.
    pub stored_bytes: u64,
    /// What their contents take.
    pub chunk_bytes: u64,
    /// Contents that are still to come.
    pub missing_chunks: u64,
    /// Why it does not serve; empty if it does.
    pub fault: String,
}

/// How far a move of slots is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotProgress {
    /// Rows that came.
    pub rows: u64,
    /// Rows that there are.
    pub rows_expected: u64,
    /// Changes that are still to come.
    pub behind: u64,
}

/// What one node is known for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Since it was heard of.
    pub ago: Duration,
    /// What is left on its disk.
    pub free_bytes: u64,
    /// What its replicas take.
    pub stored_bytes: u64,
    /// Groups that it leads.
    pub leads: usize,
}

/// What all nodes said.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<NodeId, (Instant, Heard)>>);

impl Health {
    /// A node told of itself.
    pub fn hear(&self, node: NodeId, heard: Heard, now: Instant) {
        self.nodes().insert(node, (now, heard));
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Instant, Heard)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One node.
    pub fn node(&self, node: NodeId, now: Instant) -> Option<NodeHealth> {
        let nodes = self.nodes();
        let (at, heard) = nodes.get(&node)?;
        let bytes =
            heard.replicas.values().map(|replica| replica.stored_bytes.saturating_add(replica.chunk_bytes));
        Some(NodeHealth {
            ago: now.saturating_duration_since(*at),
            free_bytes: heard.free_bytes,
            stored_bytes: bytes.fold(0, u64::saturating_add),
            leads: heard.replicas.values().filter(|replica| replica.leads).count(),
        })
    }

    /// One replica, and since when that is known.
    pub fn replica(
        &self,
        node: NodeId,
        group: GroupId,
        replica: ReplicaId,
        now: Instant,
    ) -> Option<(ReplicaHealth, Duration)> {
        let nodes = self.nodes();
        let (at, heard) = nodes.get(&node)?;
        let replica = heard.replicas.get(&(group, replica))?.clone();
        Some((replica, now.saturating_duration_since(*at)))
    }

    /// How far a move of slots is: one group's leader knows what there is, the other's what has come.
    pub fn slot_move(&self, since: MapEpoch) -> SlotProgress {
        let nodes = self.nodes();
        let told = nodes.values().filter_map(|(_, heard)| heard.slot_moves.get(&since));
        told.fold(SlotProgress::default(), |known, told| SlotProgress {
            rows: known.rows.max(told.rows),
            rows_expected: known.rows_expected.max(told.rows_expected),
            behind: known.behind.max(told.behind),
        })
    }

    /// What placement goes by.
    pub fn observed(&self, state: &State, now: Instant) -> Observed {
        let nodes = self.nodes();
        let alive = nodes.iter().filter(|(_, (at, _))| now.saturating_duration_since(*at) <= ALIVE);
        let alive: BTreeMap<_, _> = alive.map(|(node, (_, heard))| (*node, heard)).collect();
        let groups = state.map().into_iter().flat_map(|(_, map)| &map.groups);
        Observed {
            bytes: groups.map(|group| (group.group, bytes_of(group, &alive))).collect(),
            free: alive.iter().map(|(node, heard)| (*node, heard.free_bytes)).collect(),
            alive: alive.into_keys().collect(),
        }
    }
}

/// What a replica of a group takes: a newcomer may not have all of it yet.
fn bytes_of(group: &GroupDescriptor, alive: &BTreeMap<NodeId, &Heard>) -> u64 {
    let voters = group.replicas.iter().filter(|replica| replica.state != ReplicaState::Learner);
    let told =
        voters.filter_map(|replica| alive.get(&replica.node)?.replicas.get(&(group.group, replica.replica)));
    told.map(|replica| replica.stored_bytes.saturating_add(replica.chunk_bytes)).max().unwrap_or_default()
}
