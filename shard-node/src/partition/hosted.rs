//! The groups that this node serves.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use holdfast_domain::GroupId;

use super::ShardGroup;

/// The groups that this node serves.
#[derive(Default)]
pub struct HostedGroups(RwLock<BTreeMap<GroupId, Arc<ShardGroup>>>);

impl HostedGroups {
    /// Serves a group from now on; returns the one it replaces.
    pub fn insert(&self, group: Arc<ShardGroup>) -> Option<Arc<ShardGroup>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(group.id(), group)
    }

    /// Serves a group no more.
    pub fn remove(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&group)
    }

    /// A group that is served.
    pub fn get(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&group).cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<ShardGroup>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
