//! The shard map as this client last saw it, signed by the map key of the genesis record.

mod cache;

pub use cache::{MapCache, MapRefused, Offer};

use holdfast_domain::{ClusterId, GroupId, HomeId, MapEpoch, NodeId, ReplicaState, ShardMap, Slot};

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
    /// Its voters; never empty.
    pub replicas: Vec<Replica>,
}

impl Route {
    /// The route to a home; `None` while no voter of any group serves its slot.
    pub fn find(map: &ShardMap, cluster: ClusterId, home: impl Into<HomeId>) -> Option<Self> {
        let group = map.group_of(Slot::of_home(cluster, home))?;
        let voters = group.replicas.iter().filter(|replica| replica.state == ReplicaState::Voter);
        let replicas: Vec<_> =
            voters.map(|replica| Replica { node: replica.node, address: replica.address.clone() }).collect();
        (!replicas.is_empty()).then_some(Self { epoch: map.epoch, group: group.group, replicas })
    }
}
