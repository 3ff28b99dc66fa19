//! One home's partition, as a module holds it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{ClientId, CommandId, HomeId, UnixMs, UploadId};
use holdfast_store::records::RowKind;
use holdfast_sys_core::{
    errors::Refusal,
    module::{
        CommitOutcome, Content, ContentId, Cursor, Op, Page, Partition, Precondition, RecordKey, Row, Scan,
        Upload,
    },
};

use super::{NodeHost, ShardGroup, cursor::Listing, decide::Wanted, homes::HomeRef, rows::module_row};

pub(super) struct HomePartition {
    node: Arc<NodeHost>,
    shard: Arc<ShardGroup>,
    at: HomeRef,
    principal: Principal,
}

/// Who asks, as its leaf says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Principal {
    pub(super) client: ClientId,
    pub(super) quota_bytes: u64,
}

impl HomePartition {
    pub(super) fn new(
        node: Arc<NodeHost>,
        shard: Arc<ShardGroup>,
        at: HomeRef,
        principal: Principal,
    ) -> Self {
        Self { node, shard, at, principal }
    }

    /// A linearizable read.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.shard.confirm().await?;
        let at = self.at;
        self.shard.blocking(move |shard| job(shard, &at)).await
    }
}

#[async_trait]
impl Partition for HomePartition {
    fn home(&self) -> HomeId {
        self.at.home
    }

    fn quota_bytes(&self) -> u64 {
        self.principal.quota_bytes
    }

    fn now(&self) -> UnixMs {
        self.node.clock.now()
    }

    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        let key = key.clone();
        self.read(move |shard, at| {
            let Some(rows) = shard.rows(at)? else { return Ok(None) };
            let found = rows.get(RowKind::PRIMARY, key.components())?;
            found.map(|(found, opened)| module_row(&found, opened)).transpose()
        })
        .await
    }

    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        let (node, client) = (Arc::clone(&self.node), self.principal.client);
        let (scan, cursor) = (scan.clone(), cursor.cloned());
        self.read(move |shard, at| {
            let listing = Listing { key: &node.cursor_key, at: *at, client, scan: &scan };
            shard.list(&listing, cursor.as_ref(), limit)
        })
        .await
    }

    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        self.read(move |shard, at| {
            let Some(rows) = shard.rows(at)? else { return Ok(false) };
            Ok(rows.seen(&rows.codec().scope(RowKind::PRIMARY), command)?)
        })
        .await
    }

    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal> {
        self.shard.commit(self.at, Wanted { id: command, preconditions, ops }).await
    }

    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal> {
        self.read(move |shard, at| shard.upload(at, upload)).await
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        self.read(|shard, at| shard.uploads(at)).await
    }

    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal> {
        self.read(move |shard, at| shard.put_chunk(at, upload, index, &data)).await
    }

    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        let source = self.read(move |shard, at| shard.open_content(at, content)).await?;
        Ok(source.over(Arc::clone(&self.shard)))
    }
}
