//! Groups, their replicas, and what is under way between them.

use std::time::Duration;

use holdfast_domain::{GroupId, MapEpoch, NodeId, ReplicaId, ShardEpoch, Slot};
use holdfast_proto::registry::v1 as pb;

use super::{bad, clean, heard, id};
use crate::Error;

/// All groups, and the moves of slots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    /// By id.
    pub groups: Vec<GroupRow>,
    /// Under way.
    pub slot_moves: Vec<SlotMoveRow>,
}

/// One shard group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRow {
    /// Its id.
    pub group: GroupId,
    /// Version of its slots and replicas.
    pub epoch: ShardEpoch,
    /// Number of its slots.
    pub slots: u32,
    /// The same as inclusive ranges.
    pub ranges: Vec<(Slot, Slot)>,
    /// Its replicas.
    pub replicas: Vec<ReplicaRow>,
    /// How many it is to have.
    pub wanted: u32,
    /// "founding", "filling", "ready", "moving" or "empty".
    pub state: String,
    /// Generation of its master key.
    pub key_generation: u32,
    /// Whether its key is about to be replaced.
    pub rotating: bool,
    /// The node that leads it, where one is known to.
    pub leader: Option<NodeId>,
}

/// One replica. What it says of itself is from its node's last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaRow {
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Its machine.
    pub node: NodeId,
    /// Where it listens.
    pub address: String,
    /// "founding", "learner", "voter" or "leaving".
    pub state: String,
    /// Whether it takes itself for the leader.
    pub leads: bool,
    /// Its term.
    pub term: u64,
    /// Last entry of its log.
    pub last_log: u64,
    /// Last entry of its state.
    pub applied: u64,
    /// Entries behind the most advanced replica of the group.
    pub lag: u64,
    /// Its records.
    pub records: u64,
    /// Bytes of its records.
    pub stored_bytes: u64,
    /// Bytes of its files' chunks.
    pub chunk_bytes: u64,
    /// Chunks that it has yet to fetch.
    pub missing_chunks: u64,
    /// Why it is not to be believed; empty if it is.
    pub fault: String,
    /// How long ago it was heard of; `None` if it never was.
    pub heard: Option<Duration>,
    /// The replica that it replaces once it votes.
    pub replaces: Option<ReplicaId>,
}

/// Slots on their way to another group, or waiting for it to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMoveRow {
    /// Its id: the epoch of the map that it began with. `None` while it waits for its new group to have all its replicas.
    pub since: Option<MapEpoch>,
    /// The group that has them.
    pub from: GroupId,
    /// The group that is to have them.
    pub to: GroupId,
    /// Inclusive ranges.
    pub slots: Vec<(Slot, Slot)>,
    /// It is to be given up, should that still be possible.
    pub give_up: bool,
    /// Rows that have come.
    pub rows: u64,
    /// Rows that there were when it began.
    pub rows_expected: u64,
    /// Rows that changed since and have yet to come.
    pub behind: u64,
}

/// One replica that placement would move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedMove {
    /// Of which group.
    pub group: GroupId,
    /// Where it is.
    pub from: NodeId,
    /// Where it goes.
    pub target: NodeId,
}

impl Shards {
    pub(in crate::operator) fn read(reply: pb::ListGroupsReply, action: &str) -> Result<Self, Error> {
        let pb::ListGroupsReply { groups, slot_moves } = reply;
        Ok(Self {
            groups: groups.into_iter().map(|row| GroupRow::read(row, action)).collect::<Result<_, _>>()?,
            slot_moves: slot_moves
                .into_iter()
                .map(|row| SlotMoveRow::read(row, action))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl GroupRow {
    fn read(row: pb::GroupRow, action: &str) -> Result<Self, Error> {
        let pb::GroupRow {
            group,
            epoch,
            slots,
            replicas,
            state,
            key_generation,
            wanted,
            leader,
            rotating,
            slot_ranges,
        } = row;
        let replicas = replicas.into_iter().map(|row| ReplicaRow::read(row, action));
        Ok(Self {
            group: GroupId(group),
            epoch: ShardEpoch(epoch),
            slots,
            ranges: ranges(&slot_ranges, action)?,
            replicas: replicas.collect::<Result<_, _>>()?,
            wanted,
            state: clean(state),
            key_generation,
            rotating,
            leader: if leader.is_empty() { None } else { Some(id(&leader, action, "leader")?) },
        })
    }

    /// The replica on a node.
    pub fn on(&self, node: NodeId) -> Option<&ReplicaRow> {
        self.replicas.iter().find(|replica| replica.node == node)
    }

    /// Bytes of its records and chunks, as its most advanced replica has them.
    pub fn bytes(&self) -> u64 {
        self.replicas.iter().map(ReplicaRow::bytes).max().unwrap_or_default()
    }
}

impl ReplicaRow {
    fn read(row: pb::ReplicaRow, action: &str) -> Result<Self, Error> {
        let pb::ReplicaRow {
            replica_id,
            node_id,
            address,
            state,
            leads,
            term,
            last_log,
            applied,
            lag,
            records,
            stored_bytes,
            chunk_bytes,
            missing_chunks,
            fault,
            heard_ms_ago,
            replaces,
        } = row;
        Ok(Self {
            replica: ReplicaId(replica_id),
            node: id(&node_id, action, "node id")?,
            address: clean(address),
            state: clean(state),
            leads,
            term,
            last_log,
            applied,
            lag,
            records,
            stored_bytes,
            chunk_bytes,
            missing_chunks,
            fault: clean(fault),
            heard: heard(heard_ms_ago),
            replaces: (replaces > 0).then_some(ReplicaId(replaces)),
        })
    }

    /// Bytes of its records and chunks.
    pub const fn bytes(&self) -> u64 {
        self.stored_bytes.saturating_add(self.chunk_bytes)
    }
}

impl SlotMoveRow {
    fn read(row: pb::SlotMoveRow, action: &str) -> Result<Self, Error> {
        let pb::SlotMoveRow { since, from, to, slots, give_up, rows, rows_expected, behind } = row;
        Ok(Self {
            since: (since > 0).then_some(MapEpoch(since)),
            from: GroupId(from),
            to: GroupId(to),
            slots: ranges(&slots, action)?,
            give_up,
            rows,
            rows_expected,
            behind,
        })
    }
}

impl PlannedMove {
    pub(in crate::operator) fn read(row: &pb::PlannedMove, action: &str) -> Result<Self, Error> {
        let pb::PlannedMove { group, from_node, target_node } = row;
        let (from, target) = (id(from_node, action, "node id")?, id(target_node, action, "node id")?);
        Ok(Self { group: GroupId(*group), from, target })
    }
}

fn ranges(ranges: &[pb::SlotRange], action: &str) -> Result<Vec<(Slot, Slot)>, Error> {
    let slot = |number: u32| u16::try_from(number).ok().and_then(|number| Slot::try_from(number).ok());
    let read = |range: &pb::SlotRange| Some((slot(range.first)?, slot(range.last)?));
    ranges.iter().map(|range| read(range).ok_or_else(|| bad(action, "slot"))).collect()
}
