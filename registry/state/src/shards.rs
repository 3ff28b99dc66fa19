//! What the registry knows of groups and nodes beside the map: intents that are not for everybody, and facts that come from nodes.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupId, KeyGeneration, NodeId, ReplicaId, ReplicaState, ShardMap, Slot};
use serde::{Deserialize, Serialize};

/// What a machine is used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Standing {
    /// Everything.
    #[default]
    Serving,
    /// What it has; nothing new.
    Cordoned,
    /// What it has moves away.
    Draining,
    /// It has nothing and gets nothing.
    Removed,
}

impl Standing {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }
}

/// A node as placement sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUse {
    /// Its failure domain; empty when none was declared.
    pub zone: String,
    /// A module there is to run on hardware TPMs only.
    pub demands_hardware: bool,
    /// What it is used for.
    pub standing: Standing,
    /// Nobody heard of it for the grace period, or an operator said that it is gone.
    pub lost: bool,
}

/// How far a replica's log was at least: term and index.
pub type LogFloor = (u64, u64);

/// Beside the map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shards {
    /// The next group's id; ids are never used again.
    pub(crate) next_group: u32,
    /// How many replicas each group is to have.
    pub(crate) wanted: BTreeMap<GroupId, u8>,
    /// Learners that take a replica's place when they vote.
    pub(crate) replacing: BTreeMap<(GroupId, ReplicaId), ReplicaId>,
    /// New groups, and what they are to get of whom once they are ready.
    pub(crate) splits: BTreeMap<GroupId, (GroupId, Vec<(Slot, Slot)>)>,
    /// Groups whose key is to be replaced by a generation above this one: whoever had it has left.
    pub(crate) rotations: BTreeMap<GroupId, KeyGeneration>,
    /// Replicas that left the map and whose deletion was not reported yet.
    pub(crate) dropping: BTreeMap<(GroupId, ReplicaId), NodeId>,
    /// What each replica had at least.
    pub(crate) floors: BTreeMap<(GroupId, ReplicaId), LogFloor>,
    /// What is known of nodes.
    pub(crate) nodes: BTreeMap<NodeId, NodeUse>,
}

impl Shards {
    /// Forgets what is about groups and replicas that the map has no more, and what came to its end.
    pub(crate) fn follow(&mut self, map: &ShardMap) {
        let state = |group: GroupId, replica: ReplicaId| Some(map.group(group)?.replica(replica)?.state);
        self.wanted.retain(|group, _| map.group(*group).is_some());
        self.rotations.retain(|group, _| map.group(*group).is_some());
        self.floors.retain(|(group, replica), _| state(*group, *replica).is_some());
        self.replacing.retain(|(group, learner), old| {
            state(*group, *learner) == Some(ReplicaState::Learner) && state(*group, *old).is_some()
        });
        self.splits.retain(|to, (from, slots)| {
            let owns = |from: &holdfast_domain::GroupDescriptor| slots.iter().all(|range| has(from, *range));
            let waits = map.group(*to).is_some() && map.move_of(*to).is_none();
            waits && map.move_of(*from).is_none() && map.group(*from).is_some_and(owns)
        });
    }

    /// What `check` of the state says about these rows.
    pub(crate) fn check(&self, map: Option<&ShardMap>) -> Result<(), &'static str> {
        let holds = |fact: bool, what| if fact { Ok(()) } else { Err(what) };
        let Some(map) = map else {
            let Self { nodes, next_group, .. } = self;
            let nothing = Self { nodes: nodes.clone(), next_group: *next_group, ..Self::default() };
            return holds(nothing == *self, "rows about groups without a map");
        };
        let groups: BTreeSet<_> = map.groups.iter().map(|group| group.group).collect();
        holds(groups.iter().copied().eq(self.wanted.keys().copied()), "a group without a wanted number")?;
        holds(groups.iter().all(|group| group.0 < self.next_group), "a group id that was not given out")?;
        let mut followed = self.clone();
        followed.follow(map);
        holds(followed == *self, "rows about what the map has no more")?;
        let slots: u32 = map.groups.iter().map(holdfast_domain::GroupDescriptor::slot_count).sum();
        holds(groups.is_empty() || slots == Slot::COUNT.into(), "a slot of nobody")?;
        let led =
            |group: &holdfast_domain::GroupDescriptor| group.is_new() || group.voters().next().is_some();
        holds(map.groups.iter().all(led), "a group without a voter")
    }
}

/// Whether all of a range is a group's.
pub(crate) fn has(group: &holdfast_domain::GroupDescriptor, (first, last): (Slot, Slot)) -> bool {
    first <= last && group.slots.iter().any(|(low, high)| *low <= first && last <= *high)
}
