//! The groups that this node serves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use holdfast_domain::GroupId;

use super::ShardGroup;

/// The groups that this node serves.
#[derive(Default)]
pub struct HostedGroups(RwLock<Hosted>);

#[derive(Default)]
struct Hosted {
    groups: BTreeMap<GroupId, Arc<ShardGroup>>,
    quarantined: BTreeSet<GroupId>,
}

impl HostedGroups {
    /// Serves a group from now on; returns the one it replaces.
    pub fn insert(&self, group: Arc<ShardGroup>) -> Option<Arc<ShardGroup>> {
        let mut hosted = self.write();
        hosted.quarantined.remove(&group.id());
        hosted.groups.insert(group.id(), group)
    }

    /// Serves a group no more.
    pub fn remove(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        let mut hosted = self.write();
        hosted.quarantined.remove(&group);
        hosted.groups.remove(&group)
    }

    /// Keeps a group whose replica here is not to be believed: it answers no client until it is replaced.
    pub fn quarantine(&self, group: GroupId) {
        self.write().quarantined.insert(group);
    }

    /// A group whose replica is here, in quarantine or not.
    pub fn get(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        self.read().groups.get(&group).cloned()
    }

    /// A group that answers clients.
    pub fn serving(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        let hosted = self.read();
        hosted.groups.get(&group).filter(|_| !hosted.quarantined.contains(&group)).cloned()
    }

    /// All whose replicas are here.
    pub fn all(&self) -> Vec<Arc<ShardGroup>> {
        self.read().groups.values().cloned().collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Hosted> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Hosted> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
