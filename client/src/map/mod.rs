//! The shard map as this client last saw it, signed by the map key of the genesis record.

mod cache;
pub(crate) mod learn;

pub use cache::{MapCache, MapRefused, Offer};

use holdfast_domain::{
    ClusterId, GroupDescriptor, GroupId, HomeId, MapEpoch, NodeId, ReplicaState, ShardMap, Slot,
};

/// One server of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// Its machine.
    pub node: NodeId,
    /// `host:port`.
    pub address: String,
}

/// Who serves a home, according to one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The map's epoch.
    pub epoch: MapEpoch,
    /// The group.
    pub group: GroupId,
    /// Its voters, and after them those that are to leave it; never empty.
    pub replicas: Vec<Replica>,
}

impl Route {
    /// The route to a home; `None` while no voter of any group serves its slot.
    pub fn find(map: &ShardMap, cluster: ClusterId, home: impl Into<HomeId>) -> Option<Self> {
        Self::to(map, map.group_of(Slot::of_home(cluster, home))?)
    }

    /// The route to the group that a home's slot is on its way to. That group serves the slot from some moment on that is not in the map.
    pub fn find_next(map: &ShardMap, cluster: ClusterId, home: impl Into<HomeId>) -> Option<Self> {
        let slot = Slot::of_home(cluster, home);
        let moving = map.move_of(map.group_of(slot)?.group)?;
        let moves = moving.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        map.group(moving.to).filter(|_| moves).and_then(|group| Self::to(map, group))
    }

    fn to(map: &ShardMap, group: &GroupDescriptor) -> Option<Self> {
        let of = |state| group.replicas.iter().filter(move |replica| replica.state == state);
        // Who is to leave leads until somebody else does.
        let serving = of(ReplicaState::Voter).chain(of(ReplicaState::Leaving));
        let replicas: Vec<_> =
            serving.map(|replica| Replica { node: replica.node, address: replica.address.clone() }).collect();
        (!replicas.is_empty()).then_some(Self { epoch: map.epoch, group: group.group, replicas })
    }
}
