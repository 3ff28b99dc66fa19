//! A home that holds nothing: what the gate opens for each call, and no handler here looks into.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{CommandId, HomeId, Reason, UnixMs, UploadId};
use holdfast_sys_core::{
    Refusal,
    gate::HomeAccess,
    module::{
        CommitOutcome, Content, ContentId, Cursor, Op, Page, Partition, PartitionHost, Precondition,
        RecordKey, RouteInfo, Row, Scan, Upload,
    },
};

/// Has every home.
pub(super) struct Nowhere;

struct Empty(HomeAccess);

fn nothing<T>() -> Result<T, Refusal> {
    Err(Reason::NotFound.into())
}

#[async_trait]
impl PartitionHost for Nowhere {
    async fn partition(&self, access: &HomeAccess, _: RouteInfo) -> Result<Arc<dyn Partition>, Refusal> {
        Ok(Arc::new(Empty(access.clone())))
    }
}

#[async_trait]
impl Partition for Empty {
    fn home(&self) -> HomeId {
        self.0.home()
    }

    fn quota_bytes(&self) -> u64 {
        self.0.quota_bytes()
    }

    fn now(&self) -> UnixMs {
        UnixMs(0)
    }

    /// The gate looks for the version of the home's rows.
    async fn get(&self, _: &RecordKey) -> Result<Option<Row>, Refusal> {
        Ok(None)
    }

    async fn scan(&self, _: &Scan, _: Option<&Cursor>, _: usize) -> Result<Page, Refusal> {
        nothing()
    }

    async fn seen(&self, _: CommandId) -> Result<bool, Refusal> {
        nothing()
    }

    async fn commit(&self, _: CommandId, _: Vec<Precondition>, _: Vec<Op>) -> Result<CommitOutcome, Refusal> {
        nothing()
    }

    async fn upload(&self, _: UploadId) -> Result<Option<Upload>, Refusal> {
        nothing()
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        nothing()
    }

    async fn put_chunk(&self, _: UploadId, _: u32, _: Bytes) -> Result<(), Refusal> {
        nothing()
    }

    async fn open(&self, _: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        nothing()
    }
}
