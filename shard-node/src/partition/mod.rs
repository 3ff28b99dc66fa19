//! What modules are given of the groups of this node.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_consensus::{Group, Groups};
use holdfast_domain::{AccountId, ClusterId, GroupDescriptor, GroupId, ReplicaId};
use holdfast_enrol::watch::{VerifiedMap, View};
use holdfast_keys::WrapKey;
use holdfast_store::{Engine, SegmentStore, records::TablespaceSpec};
use holdfast_sys_core::{clock::Clock, errors::Refusal, module::PartitionHost};
use tokio::sync::watch;

use crate::machine::{GroupKeys, GroupState};

/// The current map.
pub trait MapSource: Send + Sync {
    /// The newest verified map, once there is one.
    fn map(&self) -> Option<Arc<VerifiedMap>>;
}

impl MapSource for watch::Receiver<Arc<View>> {
    fn map(&self) -> Option<Arc<VerifiedMap>> {
        self.borrow().map.clone()
    }
}

/// What accounts may store.
pub trait QuotaSource: Send + Sync {
    /// Bytes that a home may store.
    fn quota_bytes(&self, home: AccountId) -> u64;
}

/// The same quota for everybody.
#[derive(Debug, Clone, Copy)]
pub struct FixedQuota(pub u64);

/// A running replica of a group with its data.
pub struct ShardGroup {}

impl ShardGroup {
    /// Over a consensus group that was started with `state.machine()`. One segment store belongs to one group.
    pub fn open(
        group: Group,
        state: Arc<GroupState>,
        segments: Arc<SegmentStore>,
        clock: Clock,
    ) -> Arc<Self> {
        todo!()
    }

    /// The group.
    pub fn id(&self) -> GroupId {
        todo!()
    }

    /// The consensus side.
    pub fn state(&self) -> &Arc<GroupState> {
        todo!()
    }

    /// Activates slots of the descriptor that this group never had. Does nothing on a replica that does not lead.
    ///
    /// # Errors
    /// `NoQuorum` and the like.
    pub async fn ensure_slots(&self, descriptor: &GroupDescriptor) -> Result<(), Refusal> {
        todo!()
    }

    /// Housekeeping for as long as the task lives: expiry, chunks of deleted content, compaction.
    pub fn spawn_maintenance(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        todo!()
    }
}

/// The groups that this node serves.
#[derive(Default)]
pub struct HostedGroups {}

impl HostedGroups {
    /// Serves a group from now on; returns the one it replaces.
    pub fn insert(&self, group: Arc<ShardGroup>) -> Option<Arc<ShardGroup>> {
        todo!()
    }

    /// Serves a group no more.
    pub fn remove(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        todo!()
    }

    /// A group that is served.
    pub fn get(&self, group: GroupId) -> Option<Arc<ShardGroup>> {
        todo!()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<ShardGroup>> {
        todo!()
    }
}

/// What all modules' hosts of a node share.
pub struct NodeHost {
    /// The cluster.
    pub cluster: ClusterId,
    /// The groups that are served.
    pub groups: Arc<HostedGroups>,
    /// The current map.
    pub map: Arc<dyn MapSource>,
    /// What accounts may store.
    pub quota: Arc<dyn QuotaSource>,
    /// The clock that stamps records.
    pub clock: Clock,
    /// Seals cursors: `derive::cursor_key(&local)`.
    pub cursor_key: WrapKey,
}

impl NodeHost {
    /// A module's host. `spec` from [`tablespace`].
    pub fn bind(self: &Arc<Self>, spec: TablespaceSpec) -> Arc<dyn PartitionHost> {
        todo!()
    }
}

/// A module's tablespace, with the rows that the store itself keeps in it. Numbers are unique in a cluster for ever.
pub const fn tablespace(id: u32, module: &'static str, name: &'static str) -> TablespaceSpec {
    TablespaceSpec { id: holdfast_store::records::Tablespace(id), module, name, indexes: &[] }
}
