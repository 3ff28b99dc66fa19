//! All homes of a node, in memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use holdfast_domain::HomeId;

use super::MemoryHome;
use crate::{
    errors::Refusal,
    gate::HomeAccess,
    module::{Partition, PartitionHost, RouteInfo},
};

/// One module's homes; each is made when somebody first comes.
#[derive(Default)]
pub struct MemoryHost(Mutex<BTreeMap<HomeId, Arc<MemoryHome>>>);

impl MemoryHost {
    /// No homes yet.
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }

    /// A home.
    pub fn home(&self, home: HomeId) -> Arc<MemoryHome> {
        let mut homes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(homes.entry(home).or_insert_with(|| MemoryHome::new(home)))
    }
}

#[async_trait]
impl PartitionHost for MemoryHost {
    async fn partition(&self, access: &HomeAccess, _: RouteInfo) -> Result<Arc<dyn Partition>, Refusal> {
        Ok(self.home(access.home()).partition(access.client()))
    }
}
