//! The changes of the shard map, each a fact or an intent of its own. A voter plans and signs the map that one leads to; `apply` computes
//! the map again from the same change and takes no other.

use holdfast_domain::{GroupId, MapEpoch, NodeId, ReplicaId, ShardMap, Signed, Slot};
use serde::{Deserialize, Serialize};

/// A new map: planned, signed, and valid only right after the epoch it was planned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutMap {
    /// Epoch of the map that it replaces.
    pub expected: MapEpoch,
    /// The change, from which `apply` computes the map again.
    pub change: MapChange,
    /// The map under the map key.
    pub map: Signed<ShardMap>,
}

/// One change of the map. Where replicas are placed is the proposer's choice and travels in the change, so that placement may become
/// cleverer without voters of different versions ever computing different states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MapChange {
    /// The first groups, over all slots: each on these machines, the first of which founds it.
    Create(Vec<Vec<NodeId>>),
    /// A group without slots, which gets these of `from` once it is founded and filled.
    Split {
        /// Who has the slots.
        from: GroupId,
        /// Which go.
        slots: Vec<(Slot, Slot)>,
        /// The new group's machines.
        nodes: Vec<NodeId>,
    },
    /// A group that was never founded begins again elsewhere.
    Refound {
        /// The group.
        group: GroupId,
        /// Its machines.
        nodes: Vec<NodeId>,
    },
    /// One more replica; it votes once it has everything.
    Add {
        /// The group.
        group: GroupId,
        /// Its machine.
        target: NodeId,
        /// The replica that leaves when the new one votes.
        replaces: Option<ReplicaId>,
    },
    /// A replica is to be taken out.
    Leave {
        /// The group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
    },
    /// Reported: a group's first replica wrapped and stored its key, and leads.
    Founded {
        /// The group.
        group: GroupId,
        /// The founding replica.
        replica: ReplicaId,
    },
    /// Reported: a learner votes.
    Promoted {
        /// The group.
        group: GroupId,
        /// Who says so.
        by: ReplicaId,
        /// The learner.
        replica: ReplicaId,
    },
    /// Reported: a replica that was to leave is no member any more.
    Removed {
        /// The group.
        group: GroupId,
        /// Who says so.
        by: ReplicaId,
        /// Who left.
        replica: ReplicaId,
    },
    /// Reported by its holder: a replica is unusable.
    Lost {
        /// The group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
    },
    /// Slots are to go to another group. A group that has none left is retired.
    BeginSlotMove {
        /// Who has them.
        from: GroupId,
        /// Who is to have them.
        to: GroupId,
        /// Which.
        slots: Vec<(Slot, Slot)>,
    },
    /// The slots that are to leave a group are to stay.
    GiveUpSlotMove {
        /// The group.
        from: GroupId,
    },
    /// Reported by the target's leader: it serves the slots.
    SlotsMoved {
        /// The move.
        since: MapEpoch,
        /// Who says so.
        by: ReplicaId,
    },
    /// Reported by the target's leader: it never will.
    SlotsKept {
        /// The move.
        since: MapEpoch,
        /// Who says so.
        by: ReplicaId,
    },
    /// A group without slots goes.
    Retire(GroupId),
    /// A machine's replicas get its current address.
    Readdress(NodeId),
}

impl MapChange {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Create(groups) => format!("{} groups are to be founded", groups.len()),
            Self::Split { from, slots, .. } => {
                format!("a new group is to get {} of group {from}", ranges(slots))
            }
            Self::Refound { group, .. } => format!("group {group} is to be founded elsewhere"),
            Self::Add { group, target, replaces: None } => {
                format!("group {group} gets a replica on {target}")
            }
            Self::Add { group, target, replaces: Some(old) } => {
                format!("group {group} gets a replica on {target} in place of {old}")
            }
            Self::Leave { group, replica } => format!("replica {replica} is to leave group {group}"),
            Self::Founded { group, replica } => format!("group {group} is founded by replica {replica}"),
            Self::Promoted { group, replica, .. } => format!("replica {replica} votes in group {group}"),
            Self::Removed { group, replica, .. } => format!("replica {replica} left group {group}"),
            Self::Lost { group, replica } => format!("replica {replica} of group {group} is unusable"),
            Self::BeginSlotMove { from, to, slots } => {
                format!("{} go from group {from} to group {to}", ranges(slots))
            }
            Self::GiveUpSlotMove { from } => format!("slots are to stay with group {from}"),
            Self::SlotsMoved { since, .. } => format!("the move of slots since {since} is done"),
            Self::SlotsKept { since, .. } => format!("the move of slots since {since} is given up"),
            Self::Retire(group) => format!("group {group} has no slots and is retired"),
            Self::Readdress(node) => format!("node {node} has another address"),
        }
    }
}

fn ranges(slots: &[(Slot, Slot)]) -> String {
    let range = |(first, last): &(Slot, Slot)| format!("{}-{}", first.number(), last.number());
    format!("slots {}", slots.iter().map(range).collect::<Vec<_>>().join(", "))
}
