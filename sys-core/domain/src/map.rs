//! The shard map: which group serves which slots, on which machines.

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
}

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

    /// Whether this map is newer than another of the same cluster.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.lineage, self.epoch) > (other.lineage, other.epoch)
    }

    /// Checks that every slot has at most one group.
    ///
    /// # Errors
    /// See [`MapError`].
    pub fn check(&self) -> Result<(), MapError> {
        let mut groups = std::collections::BTreeSet::new();
        let mut taken = std::collections::BTreeSet::new();
        for group in &self.groups {
            if !groups.insert(group.group) {
                return Err(MapError::Twice(group.group));
            }
            for (first, last) in &group.slots {
                if first > last {
                    return Err(MapError::Range(group.group));
                }
                for slot in (first.number()..=last.number()).filter_map(|number| Slot::try_from(number).ok())
                {
                    if !taken.insert(slot) {
                        return Err(MapError::Overlap(slot));
                    }
                }
            }
        }
        Ok(())
    }
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
            };
            assert_eq!(map.check(), Ok(()));
            assert!((0..Slot::COUNT).all(|n| map.group_of(Slot::try_from(n).unwrap()).is_some()));
        }
        assert_eq!(even_slots(0, 0), None);
    }

    #[test]
    fn a_slot_claimed_twice_is_refused() {
        let slot = |n| Slot::try_from(n).unwrap();
        let group = |id, range| GroupDescriptor {
            group: GroupId(id),
            epoch: ShardEpoch(1),
            slots: vec![range],
            replicas: vec![],
        };
        let map = ShardMap {
            cluster: ClusterId::new([0; 16]),
            lineage: Lineage(0),
            epoch: MapEpoch(1),
            groups: vec![group(1, (slot(0), slot(9))), group(2, (slot(9), slot(20)))],
        };
        assert_eq!(map.check(), Err(MapError::Overlap(slot(9))));
    }
}
