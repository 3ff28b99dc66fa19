//! From the right to open a home, and a route, to its partition.

use std::{sync::Arc, time::Duration};

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
    /// How new what the call reads must be.
    pub freshness: Freshness,
}

/// How new the data of a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// Everything that was acknowledged before the read is seen.
    #[default]
    Newest,
    /// Anything that was the newest within this time may be answered. Nothing can be written with it.
    Within(Duration),
}

impl RouteInfo {
    /// The same way, for what must never be decided by an old state: rights.
    #[must_use]
    pub const fn newest(self) -> Self {
        Self { freshness: Freshness::Newest, ..self }
    }
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
