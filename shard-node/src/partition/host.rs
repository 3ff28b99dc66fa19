//! From the right to open a home, and a route, to its partition.
//!
//! Every replica of a group hands out partitions; what each may do there is the partition's to say.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_domain::{ClusterId, Reason, Slot};
use holdfast_enrol::watch::{VerifiedMap, View};
use holdfast_store::records::TablespaceSpec;
use holdfast_sys_core::{
    clock::Clock,
    errors::Refusal,
    gate::HomeAccess,
    module::{Partition, PartitionHost, RouteInfo},
};
use tokio::sync::watch;

use super::{
    HostedGroups, ShardGroup,
    home::{HomePartition, Principal},
    homes::HomeRef,
};

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

/// What all modules' hosts of a node share.
pub struct NodeHost {
    /// The cluster.
    pub cluster: ClusterId,
    /// The groups that are served.
    pub groups: Arc<HostedGroups>,
    /// The current map.
    pub map: Arc<dyn MapSource>,
    /// The clock that stamps records.
    pub clock: Clock,
}

impl NodeHost {
    /// A module's host. `spec` from [`super::tablespace`].
    pub fn bind(self: &Arc<Self>, spec: TablespaceSpec) -> Arc<dyn PartitionHost> {
        Arc::new(ModuleHost { node: Arc::clone(self), spec })
    }

    /// The group to which a route led. Whether it serves the slot is for each call to see, in the state that it reads.
    fn route(&self, route: RouteInfo, slot: Slot) -> Result<Arc<ShardGroup>, Refusal> {
        self.groups.serving(route.group).ok_or_else(|| self.misrouted(route, slot))
    }

    /// What to tell a caller whose route leads nowhere: the newer map if there is one.
    pub(super) fn misrouted(&self, route: RouteInfo, slot: Slot) -> Refusal {
        match self.map.map() {
            Some(ours) if ours.map.epoch > route.map_epoch => {
                Refusal::stale_map(ours.map.epoch, ours.signed.clone())
            }
            // What the caller's map says is news to this node: it hears of it in a moment.
            Some(ours) if ours.map.epoch < route.map_epoch => Refusal::new(Reason::NotReady),
            // Ours by the map, and hosted: about to be activated, on its way to another group, or in quarantine.
            Some(ours) if self.is_coming(&ours, route, slot) => Refusal::new(Reason::NotReady),
            _ => Refusal::new(Reason::WrongGroup),
        }
    }

    fn is_coming(&self, ours: &VerifiedMap, route: RouteInfo, slot: Slot) -> bool {
        let mapped = ours.map.group_of(slot).is_some_and(|group| group.group == route.group);
        mapped && self.groups.get(route.group).is_some()
    }
}

/// One module's host.
struct ModuleHost {
    node: Arc<NodeHost>,
    spec: TablespaceSpec,
}

#[async_trait]
impl PartitionHost for ModuleHost {
    async fn partition(&self, access: &HomeAccess, route: RouteInfo) -> Result<Arc<dyn Partition>, Refusal> {
        let slot = Slot::of_home(self.node.cluster, access.home());
        let shard = self.node.route(route, slot)?;
        let at = HomeRef { home: access.home(), slot, spec: self.spec };
        let principal = Principal { client: access.client(), quota_bytes: access.quota_bytes() };
        let (node, names) = (Arc::clone(&self.node), Arc::default());
        Ok(Arc::new(HomePartition { node, shard, at, route, principal, names }))
    }
}
