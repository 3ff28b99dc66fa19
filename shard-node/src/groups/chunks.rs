//! Chunks from one replica to another: holes are filled from whoever has them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use holdfast_domain::{GroupId, Reason, ReplicaDescriptor, ReplicaState};
use holdfast_proto::node::v1::{Chunk, FetchChunksRequest, peer_client::PeerClient};
use holdfast_store::segments::ChunkId;
use tonic::transport::Channel;

use super::{Runtime, StepError};
use crate::{content::SealedChunk, limits::MAX_FETCH_CHUNKS, partition::ShardGroup};

/// Pause between two looks for missing chunks. One costs nothing where nothing was published.
const LOOK: Duration = Duration::from_millis(200);
/// Pause when nobody has what is missing.
const DRY: Duration = Duration::from_secs(2);

/// Fills holes of all replicas of this node for ever.
pub async fn keep_whole(runtime: Arc<Runtime>) {
    let filling: Arc<Mutex<BTreeSet<GroupId>>> = Arc::default();
    loop {
        for shard in runtime.hosted.all() {
            let group = shard.id();
            let idle = || filling.lock().unwrap_or_else(PoisonError::into_inner).insert(group);
            if !shard.may_have_holes() || !idle() {
                continue;
            }
            let (runtime, filling) = (Arc::clone(&runtime), Arc::clone(&filling));
            tokio::spawn(async move {
                runtime.fill_holes(&shard).await;
                filling.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Runtime {
    /// The node of another replica, as a callee.
    pub(crate) fn peer(&self, replica: &ReplicaDescriptor) -> Result<PeerClient<Channel>, StepError> {
        let dialed = self.neighbours.peer(replica.node, &replica.address);
        dialed.map_err(|error| StepError::Peer(replica.node, error.into()))
    }

    async fn fill_holes(&self, shard: &ShardGroup) {
        let group = shard.id();
        loop {
            match self.fill_some(shard).await {
                Ok(Filled::Whole) => return,
                Ok(Filled::Some(count)) => tracing::debug!(%group, count, "missing chunks fetched"),
                Ok(Filled::Nothing) => {
                    tokio::time::sleep(DRY).await;
                    shard.look_everywhere();
                    return;
                }
                Err(error) => {
                    tracing::warn!(%group, error = %holdfast_domain::causes(&error), "missing chunks are not fetched");
                    return tokio::time::sleep(DRY).await;
                }
            }
        }
    }

    /// Fetches what this replica lacks and somebody has; whether nothing is missing then.
    pub(crate) async fn fill(&self, shard: &ShardGroup) -> Result<bool, StepError> {
        loop {
            match self.fill_some(shard).await? {
                Filled::Whole => return Ok(true),
                Filled::Some(_) => {}
                Filled::Nothing => return Ok(false),
            }
        }
    }

    async fn fill_some(&self, shard: &ShardGroup) -> Result<Filled, StepError> {
        let missing = shard.missing_chunks(MAX_FETCH_CHUNKS).await?;
        if missing.is_empty() {
            return Ok(Filled::Whole);
        }
        let mut last = None;
        for (group, source) in self.sources(shard)? {
            match self.fetch(shard, group, &source, &missing).await {
                Ok(0) => {}
                Ok(count) => {
                    shard.sync_chunks().await?;
                    return Ok(Filled::Some(count));
                }
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(Filled::Nothing), Err)
    }

    /// Who may have chunks: the leader first, then the other replicas, and those of a group that slots come from.
    fn sources(&self, shard: &ShardGroup) -> Result<Vec<(GroupId, ReplicaDescriptor)>, StepError> {
        let group = shard.id();
        let view = self.view.borrow();
        let map = &view.map.as_ref().ok_or(StepError::NotInMap("any group"))?.map;
        let from = map.move_of(group).filter(|slots| slots.to == group).map(|slots| slots.from);
        let leader = shard.raft().status().leader;
        let has_chunks = |replica: &ReplicaDescriptor| {
            replica.replica != shard.replica()
                && matches!(replica.state, ReplicaState::Voter | ReplicaState::Leaving)
        };
        let groups = [Some(group), from].into_iter().flatten().filter_map(|id| map.group(id));
        let mut sources: Vec<_> = groups
            .flat_map(|group| group.replicas.iter().map(|replica| (group.group, replica.clone())))
            .filter(|(_, replica)| has_chunks(replica))
            .collect();
        sources.sort_by_key(|(_, replica)| Some(replica.replica) != leader);
        Ok(sources)
    }

    /// Fetches chunks from one replica of a group. Durable after a sync.
    async fn fetch(
        &self,
        shard: &ShardGroup,
        group: GroupId,
        source: &ReplicaDescriptor,
        missing: &[ChunkId],
    ) -> Result<usize, StepError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| StepError::Peer(source.node, error);
        let chunk_ids = missing.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        let request = FetchChunksRequest { group: group.0, chunk_ids };
        let answer = self.peer(source)?.fetch_chunks(request).await;
        let mut chunks = answer.map_err(|status| failed(status.into()))?.into_inner();
        let mut fetched = 0;
        while let Some(chunk) = chunks.message().await.map_err(|status| failed(status.into()))? {
            match shard.import_chunk(read(chunk).map_err(failed)?).await {
                Ok(()) => fetched += 1,
                // Its file went meanwhile: no hole any more, which the next look everywhere finds.
                Err(refusal) if refusal.reason() == Reason::HashMismatch => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Ok(fetched)
    }
}

enum Filled {
    /// Nothing is missing.
    Whole,
    /// So many chunks came.
    Some(usize),
    /// Nobody has what is missing.
    Nothing,
}

pub(crate) fn read(chunk: Chunk) -> Result<SealedChunk, Box<dyn std::error::Error + Send + Sync>> {
    let Chunk { chunk_id, upload_id, index, sealed } = chunk;
    Ok(SealedChunk {
        id: ChunkId(chunk_id.as_ref().try_into()?),
        upload: upload_id.as_ref().try_into()?,
        index,
        sealed,
    })
}
