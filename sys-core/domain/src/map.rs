//! The shard map: which group serves which slots, on which machines.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ClusterId, GroupId, Lineage, MapEpoch, NodeId, ReplicaId, ShardEpoch, Slot, SpkiHash};

/// How far a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ReplicaState {
    /// Makes the group's key; nothing is served yet.
    Founding,
    /// Receives keys and data, does not vote.
    Learner,
    /// Votes and serves.
    Voter,
    /// To be taken out of the group, whether it votes or not, and then dropped.
    Leaving,
}

/// One replica of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaDescriptor {
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Its machine.
    pub node: NodeId,
    /// Where it listens, `host:port`.
    pub address: String,
    /// How far it is.
    pub state: ReplicaState,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescriptor {
    /// Its id.
    pub group: GroupId,
    /// Version of its slots and replicas.
    pub epoch: ShardEpoch,
    /// Inclusive ranges of slots, ascending, not touching.
    pub slots: Vec<(Slot, Slot)>,
    /// Its replicas.
    pub replicas: Vec<ReplicaDescriptor>,
}

impl GroupDescriptor {
    /// Whether the group serves a slot.
    pub fn holds(&self, slot: Slot) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// One of its replicas.
    pub fn replica(&self, id: ReplicaId) -> Option<&ReplicaDescriptor> {
        self.replicas.iter().find(|replica| replica.replica == id)
    }

    /// The replica on a machine; there is at most one.
    pub fn on(&self, node: NodeId) -> Option<&ReplicaDescriptor> {
        self.replicas.iter().find(|replica| replica.node == node)
    }

    /// The replicas that vote and are to stay.
    pub fn voters(&self) -> impl Iterator<Item = &ReplicaDescriptor> {
        self.replicas.iter().filter(|replica| replica.state == ReplicaState::Voter)
    }

    /// Whether nothing is under way: every replica votes and is to stay.
    pub fn is_settled(&self) -> bool {
        self.replicas.iter().all(|replica| replica.state == ReplicaState::Voter)
    }

    /// Whether its key is not made yet.
    pub fn is_new(&self) -> bool {
        self.replicas.iter().any(|replica| replica.state == ReplicaState::Founding)
    }

    /// Number of its slots.
    pub fn slot_count(&self) -> u32 {
        self.slots.iter().map(|range| slots_in(*range)).sum()
    }
}

/// Slots on their way from one group to another. Until the change of the map that ends it, they are `from`'s in the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotMove {
    /// Epoch of the map that it began with: its id.
    pub since: MapEpoch,
    /// The group that has them.
    pub from: GroupId,
    /// The group that is to have them.
    pub to: GroupId,
    /// Inclusive ranges, ascending, not touching.
    pub slots: Vec<(Slot, Slot)>,
    /// It is to be given up; whether it still can be is decided by the target's log.
    pub give_up: bool,
}

/// The whole map. Order is (lineage, epoch).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMap {
    /// The cluster.
    pub cluster: ClusterId,
    /// Grows with a restore.
    pub lineage: Lineage,
    /// Grows with every change.
    pub epoch: MapEpoch,
    /// All groups, by id.
    pub groups: Vec<GroupDescriptor>,
    /// Slots that change hands.
    pub moves: Vec<SlotMove>,
}

/// Moves of slots at once; each keeps two groups busy.
pub const MAX_MOVES: usize = 64;

/// Why a map cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// A slot range runs backwards.
    #[error("group {0} has a slot range that ends before it begins")]
    Range(GroupId),
    /// Two groups claim one slot.
    #[error("slot {} is claimed twice", .0.number())]
    Overlap(Slot),
    /// A group appears twice.
    #[error("group {0} appears twice")]
    Twice(GroupId),
    /// Two replicas of a group are on one machine, or share an id.
    #[error("group {0} has two replicas on one machine or of one id")]
    Replicas(GroupId),
    /// A move of slots that its groups cannot make.
    #[error(
        "the slots that move from group {0} are not its own, or one of the two groups is in another move"
    )]
    Move(GroupId),
    /// More moves than there may be.
    #[error("more than {MAX_MOVES} moves of slots")]
    Moves,
}

impl ShardMap {
    /// The group that serves a slot.
    pub fn group_of(&self, slot: Slot) -> Option<&GroupDescriptor> {
        self.groups.iter().find(|group| group.holds(slot))
    }

    /// A group by id.
    pub fn group(&self, id: GroupId) -> Option<&GroupDescriptor> {
        self.groups.iter().find(|group| group.group == id)
    }

    /// The move of slots that a group takes part in; there is at most one.
    pub fn move_of(&self, group: GroupId) -> Option<&SlotMove> {
        self.moves.iter().find(|slot_move| slot_move.from == group || slot_move.to == group)
    }

    /// Whether this map is newer than another of the same cluster.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.lineage, self.epoch) > (other.lineage, other.epoch)
    }

    /// Checks that every slot has at most one group, every machine at most one replica of a group, and every move its own two groups.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn check(&self) -> Result<(), MapError> {
        let mut groups = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for group in &self.groups {
            if !groups.insert(group.group) {
                return Err(MapError::Twice(group.group));
            }
            let nodes: BTreeSet<_> = group.replicas.iter().map(|replica| replica.node).collect();
            let ids: BTreeSet<_> = group.replicas.iter().map(|replica| replica.replica).collect();
            if nodes.len().min(ids.len()) < group.replicas.len() {
                return Err(MapError::Replicas(group.group));
            }
            for (first, last) in &group.slots {
                if first > last {
                    return Err(MapError::Range(group.group));
                }
                if let Some(slot) = each_slot((*first, *last)).find(|slot| !taken.insert(*slot)) {
                    return Err(MapError::Overlap(slot));
                }
            }
        }
        self.check_moves()
    }

    fn check_moves(&self) -> Result<(), MapError> {
        if self.moves.len() > MAX_MOVES {
            return Err(MapError::Moves);
        }
        let mut busy = BTreeSet::new();
        for SlotMove { since, from, to, slots, give_up: _ } in &self.moves {
            let own = self.group(*from).zip(self.group(*to)).is_some_and(|(from, _)| {
                let inside = |(first, last): &(Slot, Slot)| {
                    first <= last && from.slots.iter().any(|(low, high)| low <= first && last <= high)
                };
                !slots.is_empty() && slots.iter().all(inside)
            });
            let ascending = slots.iter().zip(slots.iter().skip(1)).all(|(one, next)| one.1 < next.0);
            if !own || !ascending || *since > self.epoch || !busy.insert(*from) || !busy.insert(*to) {
                return Err(MapError::Move(*from));
            }
        }
        Ok(())
    }
}

fn each_slot((first, last): (Slot, Slot)) -> impl Iterator<Item = Slot> {
    (first.number()..=last.number()).filter_map(|number| Slot::try_from(number).ok())
}

fn slots_in((first, last): (Slot, Slot)) -> u32 {
    u32::from(last.number()).saturating_sub(first.number().into()).saturating_add(1)
}

/// Splits all slots over `groups` groups as evenly as can be: range `index` of them.
pub fn even_slots(index: u32, groups: u32) -> Option<(Slot, Slot)> {
    let count = u32::from(Slot::COUNT);
    if index >= groups || groups > count {
        return None;
    }
    let first = u16::try_from(index * count / groups).ok()?;
    let next = u16::try_from((index + 1) * count / groups).ok()?;
    Some((Slot::try_from(first).ok()?, Slot::try_from(next - 1).ok()?))
}

/// Address and pinned key of a registry voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterEndpoint {
    /// The machine.
    pub node: NodeId,
    /// Its Raft id.
    pub replica: ReplicaId,
    /// Where it listens, `host:port`.
    pub address: String,
    /// Pin of its listener key.
    pub spki: SpkiHash,
}

/// Largest encoded [`ShardMap`] that anyone accepts, in bytes.
pub const MAX_MAP: usize = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_split_covers_every_slot_once() {
        for groups in [1u32, 3, 8, 200, 4096] {
            let map = ShardMap {
                cluster: ClusterId::new([0; 16]),
                lineage: Lineage(0),
                epoch: MapEpoch(1),
                groups: (0..groups)
                    .map(|index| GroupDescriptor {
                        group: GroupId(index + 1),
                        epoch: ShardEpoch(1),
                        slots: vec![even_slots(index, groups).unwrap()],
                        replicas: vec![],
                    })
                    .collect(),
                moves: vec![],
            };
            assert_eq!(map.check(), Ok(()));
            assert!((0..Slot::COUNT).all(|n| map.group_of(Slot::try_from(n).unwrap()).is_some()));
        }
        assert_eq!(even_slots(0, 0), None);
    }

    fn two_groups(first: (u16, u16), second: (u16, u16)) -> ShardMap {
        let slot = |n| Slot::try_from(n).unwrap();
        let group = |id, (first, last)| GroupDescriptor {
            group: GroupId(id),
            epoch: ShardEpoch(1),
            slots: vec![(slot(first), slot(last))],
            replicas: vec![],
        };
        ShardMap {
            cluster: ClusterId::new([0; 16]),
            lineage: Lineage(0),
            epoch: MapEpoch(1),
            groups: vec![group(1, first), group(2, second)],
            moves: vec![],
        }
    }

    #[test]
    fn a_slot_claimed_twice_is_refused() {
        let map = two_groups((0, 9), (9, 20));
        assert_eq!(map.check(), Err(MapError::Overlap(Slot::try_from(9).unwrap())));
    }

    #[test]
    fn a_node_has_at_most_one_replica_of_a_group() {
        let mut map = two_groups((0, 9), (10, 20));
        let replica = |id, node| ReplicaDescriptor {
            replica: ReplicaId(id),
            node: NodeId::new([node; 16]),
            address: "a:1".into(),
            state: ReplicaState::Voter,
        };
        map.groups[0].replicas = vec![replica(1, 1), replica(2, 2)];
        assert_eq!(map.check(), Ok(()));
        for twin in [replica(3, 1), replica(2, 3)] {
            map.groups[0].replicas.truncate(2);
            map.groups[0].replicas.push(twin);
            assert_eq!(map.check(), Err(MapError::Replicas(GroupId(1))));
        }
    }

    #[test]
    fn slots_move_from_their_own_group_and_a_group_takes_part_in_one_move() {
        let slot = |n| Slot::try_from(n).unwrap();
        let moving = |from, to, first, last| SlotMove {
            since: MapEpoch(1),
            from: GroupId(from),
            to: GroupId(to),
            slots: vec![(slot(first), slot(last))],
            give_up: false,
        };
        let check = |moves| ShardMap { moves, ..two_groups((0, 9), (10, 20)) }.check();
        assert_eq!(check(vec![moving(1, 2, 0, 9)]), Ok(()));
        assert_eq!(check(vec![moving(1, 2, 5, 10)]), Err(MapError::Move(GroupId(1))), "not its own");
        assert_eq!(check(vec![moving(1, 1, 0, 3)]), Err(MapError::Move(GroupId(1))), "to itself");
        assert_eq!(check(vec![moving(1, 3, 0, 3)]), Err(MapError::Move(GroupId(1))), "to nobody");
        let both = vec![moving(1, 2, 0, 3), moving(2, 1, 10, 12)];
        assert_eq!(check(both), Err(MapError::Move(GroupId(2))));
    }
}
