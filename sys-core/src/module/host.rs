//! From a caller and a route to the caller's own partition.

use std::sync::Arc;

use async_trait::async_trait;
use holdfast_domain::{GroupId, MapEpoch};

use super::Partition;
use crate::{caller::Caller, errors::Refusal};

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
    /// The caller's own partition.
    ///
    /// Checks, in this order: the caller is a client; its home's slot is in a group that this node serves; the route is
    /// not stale.
    ///
    /// # Errors
    /// `NotPermitted` for other callers, `StaleMap` with the new signed map attached, `WrongGroup`, `NotReady`, `NoQuorum`.
    async fn partition(&self, caller: &Caller, route: RouteInfo) -> Result<Arc<dyn Partition>, Refusal>;
}
