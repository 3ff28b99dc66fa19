//! From the right to open a home, and a route, to its partition.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_domain::{GroupId, MapEpoch};

use super::Partition;
use crate::{errors::Refusal, gate::HomeAccess};

/// Which map a client used and where it led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteInfo {
    /// Epoch of the client's map.
    pub map_epoch: MapEpoch,
    /// The group that serves the home in that map.
    pub group: GroupId,
}

/// Hands out partitions of one module's tablespace; the node implements it and binds one to each module.
#[async_trait]
pub trait PartitionHost: Send + Sync {
    /// The home's partition, if its slot is in a group that this node serves and the route is not stale.
    ///
    /// # Errors
    /// `StaleMap` with the new signed map attached, `WrongGroup`, `NotReady`, `NoQuorum`.
    async fn partition(&self, access: &HomeAccess, route: RouteInfo) -> Result<Arc<dyn Partition>, Refusal>;
}
