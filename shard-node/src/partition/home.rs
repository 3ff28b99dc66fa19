//! One home's partition, as a module holds it.
//!
//! Any replica reads: what the leader confirmed, or, where the caller allows that, what it heard from the leader a moment ago. Only the
//! leader writes. Each call looks in the very state that it reads whether the slot is served there, so that an answer never comes from a
//! group that the slot has left.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{ClientId, CommandId, HomeId, Reason, UnixMs, UploadId};
use holdfast_store::records::RowKind;
use holdfast_sys_core::{
    errors::Refusal,
    module::{
        CommitOutcome, Content, ContentId, Cursor, Freshness, Op, Page, Partition, Precondition, RecordKey,
        RouteInfo, Row, Scan, Upload,
    },
};

use super::{
    NodeHost, ShardGroup,
    cursor::Listing,
    decide::Wanted,
    homes::HomeRef,
    names::Names,
    rows::{HomeRows, module_row},
};

pub(super) struct HomePartition {
    pub(super) node: Arc<NodeHost>,
    pub(super) shard: Arc<ShardGroup>,
    pub(super) at: HomeRef,
    pub(super) route: RouteInfo,
    pub(super) principal: Principal,
    /// The call's.
    pub(super) names: Arc<Names>,
}

/// Who asks, as its leaf says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Principal {
    pub(super) client: ClientId,
    pub(super) quota_bytes: u64,
}

impl HomePartition {
    /// A read of rows, as new as the caller wants it.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.refresh().await?;
        self.look(job).await
    }

    /// Makes this replica as fresh as the caller wants it.
    async fn refresh(&self) -> Result<(), Refusal> {
        let fresh = match self.route.freshness {
            Freshness::Newest => false,
            Freshness::Within(within) => self.shard.is_fresh(within),
        };
        if fresh { Ok(()) } else { self.shard.confirm().await }
    }

    /// A read of what only the leader knows: how far uploads are.
    async fn read_at_leader<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.require_newest()?;
        self.shard.lead().await?;
        self.shard.confirm().await?;
        self.look(job).await
    }

    async fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let at = self.at;
        let looked = self.shard.blocking(move |shard| where_served(shard, &at, job));
        looked.await.map_err(|refusal| self.explained(refusal))
    }

    /// The same for a job of some rows.
    async fn glance<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let at = self.at;
        let looked = self.shard.quick(move |shard| where_served(shard, &at, job));
        looked.await.map_err(|refusal| self.explained(refusal))
    }

    /// What was decided by an old state must not be written.
    fn require_newest(&self) -> Result<(), Refusal> {
        match self.route.freshness {
            Freshness::Newest => Ok(()),
            Freshness::Within(_) => Err(Refusal::new(Reason::Malformed).because("a write by a stale read")),
        }
    }

    /// A slot that is not served here is served elsewhere, or soon.
    fn explained(&self, refusal: Refusal) -> Refusal {
        match refusal.reason() {
            Reason::WrongGroup => self.node.misrouted(self.route, self.at.slot),
            _ => refusal,
        }
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
        self.refresh().await?;
        let (key, names) = (key.clone(), Arc::clone(&self.names));
        self.glance(move |shard, at| {
            let Some(rows) = shard.rows(at)? else { return Ok(None) };
            let rows = HomeRows { names, ..rows };
            let found = rows.get(RowKind::PRIMARY, key.components())?;
            found.map(|(found, opened)| module_row(&found, opened)).transpose()
        })
        .await
    }

    /// Without asking a majority: what is committed on condition of it asks one.
    async fn get_to_change(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        self.require_newest()?;
        self.shard.lead().await?;
        let (key, names) = (key.clone(), Arc::clone(&self.names));
        self.glance(move |shard, at| {
            let lane = shard.lane(at.slot);
            let ahead = lane.ahead(shard.term()?);
            let Some(rows) = shard.rows(at)? else { return Ok(None) };
            let rows = HomeRows { ahead: Some(&ahead), names, ..rows };
            let found = rows.get(RowKind::PRIMARY, key.components())?;
            found.map(|(found, opened)| module_row(&found, opened)).transpose()
        })
        .await
    }

    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        let client = self.principal.client;
        let (scan, cursor) = (scan.clone(), cursor.cloned());
        self.read(move |shard, at| {
            let listing = Listing { at: *at, client, scan: &scan };
            shard.list(&listing, cursor.as_ref(), limit)
        })
        .await
    }

    async fn seen(&self, command: CommandId) -> Result<bool, Refusal> {
        self.refresh().await?;
        self.glance(move |shard, at| {
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
        self.require_newest()?;
        self.shard.lead().await?;
        let wanted = Wanted { id: command, preconditions, ops, names: Arc::clone(&self.names) };
        let committed = self.shard.commit(self.at, wanted).await;
        committed.map_err(|refusal| self.explained(refusal))
    }

    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal> {
        self.read_at_leader(move |shard, at| shard.upload(at, upload)).await
    }

    async fn uploads(&self) -> Result<Vec<Upload>, Refusal> {
        self.read_at_leader(|shard, at| shard.uploads(at)).await
    }

    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal> {
        self.read_at_leader(|_, _| Ok(())).await?;
        self.shard.put_chunk(self.at, upload, index, data).await
    }

    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal> {
        let open = move |shard: &ShardGroup, at: &HomeRef| shard.open_content(at, content);
        let source = match content {
            ContentId::Staged(_) => self.read_at_leader(open).await?,
            ContentId::Published(_) => self.read(open).await?,
        };
        Ok(source.over(Arc::clone(&self.shard)))
    }
}

fn where_served<T>(
    shard: &ShardGroup,
    at: &HomeRef,
    job: impl FnOnce(&ShardGroup, &HomeRef) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    if shard.serves(at.slot)? { job(shard, at) } else { Err(Reason::WrongGroup.into()) }
}
