//! A partition for planning a change.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{CommandId, HomeId, UnixMs, UploadId};

use super::{
    CommitOutcome, Content, ContentId, Cursor, Op, Page, Partition, Precondition, RecordKey, Row, Scan,
    Upload,
};
use crate::errors::Refusal;

/// The same partition, whose single records are read [to be changed](Partition::get_to_change).
pub struct ToChange<'a>(pub &'a dyn Partition);

#[async_trait]
impl Partition for ToChange<'_> {
    fn home(&self) -> HomeId {
        self.0.home()
    }

    fn quota_bytes(&self) -> u64 {
        self.0.quota_bytes()
    }

    fn now(&self) -> UnixMs {
        self.0.now()
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        self.0.get_to_change(key).await
    }

    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        self.0.scan(scan, cursor, limit).await
    }

    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        self.0.seen(command).await
    }

    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal> {
        self.0.commit(command, preconditions, ops).await
    }

    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal> {
        self.0.upload(upload).await
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        self.0.uploads().await
    }

    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal> {
        self.0.put_chunk(upload, index, data).await
    }

    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        self.0.open(content).await
    }
}
