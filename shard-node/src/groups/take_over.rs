//! The receiving side of a move: open the wrapped key, follow the group, fetch its chunks, and once it leads be the only member.
//!
//! Only chunks that a manifest names are fetched. What was uploaded and not committed stays behind: the upload goes on here by its id, from
//! what this replica holds of it, which is nothing at first.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use holdfast_certs::ExpectedServer;
use holdfast_domain::{GroupId, ReplicaDescriptor, ReplicaState};
use holdfast_enrol::watch::Task;
use holdfast_proto::node::v1::{Chunk, FetchChunksRequest, peer_client::PeerClient};
use holdfast_store::segments::ChunkId;

use super::{Runtime, StepError};
use crate::{content::SealedChunk, custody, limits::MAX_FETCH_CHUNKS, partition::ShardGroup};

/// Pause between two looks for missing chunks.
const PAUSE: Duration = Duration::from_millis(50);
/// Longest time without a look: chunks that a source could not give are asked for again.
const RECHECK: Duration = Duration::from_millis(500);

impl Runtime {
    pub(super) async fn receive(&self, group: GroupId) -> Result<(), StepError> {
        let descriptor = self.descriptor(group)?;
        let own = self.own_replica(&descriptor)?;
        let node = self.keeper.member.settings().node;
        let is_source =
            |replica: &&ReplicaDescriptor| replica.state == ReplicaState::Voter && replica.node != node;
        let sources: Vec<_> = descriptor.replicas.iter().filter(is_source).cloned().collect();
        let nodes: Vec<_> = sources.iter().map(|source| source.node).collect();
        let dmk = custody::receive(&self.keeper, group, &nodes).await?;
        let shard = self.start(group, own.replica, dmk).await?;
        let mut changes = shard.raft().watch();
        // While the task stands, as the log may bring manifests of further chunks.
        while self.view.borrow().tasks.contains(&(group, Task::Receive)) {
            changes.mark_unchanged();
            for source in &sources {
                self.fetch_missing(&shard, source).await?;
            }
            finish(&shard).await?;
            let news = tokio::time::timeout(RECHECK, changes.changed()).await;
            if let Ok(Err(_)) = news {
                return Ok(());
            }
            // News come with each entry; one look takes them together.
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn fetch_missing(&self, shard: &ShardGroup, source: &ReplicaDescriptor) -> Result<(), StepError> {
        loop {
            let missing = shard.missing_chunks(MAX_FETCH_CHUNKS).await?;
            if missing.is_empty() {
                return Ok(());
            }
            let fetched = self.fetch(shard, source, &missing).await?;
            shard.sync_chunks().await?;
            tracing::debug!(group = %shard.id(), missing = missing.len(), fetched, "chunks fetched");
            if fetched == 0 {
                return Ok(());
            }
        }
    }

    async fn fetch(
        &self,
        shard: &ShardGroup,
        source: &ReplicaDescriptor,
        missing: &[ChunkId],
    ) -> Result<usize, StepError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| StepError::Peer(source.node, error);
        let channel = self
            .peers
            .channel(&source.address, ExpectedServer::Node(source.node))
            .map_err(|error| failed(error.into()))?;
        let chunk_ids = missing.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        let request = FetchChunksRequest { group: shard.id().0, chunk_ids };
        let answer = PeerClient::new(channel).fetch_chunks(request).await;
        let mut chunks = answer.map_err(|status| failed(status.into()))?.into_inner();
        let mut fetched = 0;
        while let Some(chunk) = chunks.message().await.map_err(|status| failed(status.into()))? {
            shard.import_chunk(read(chunk).map_err(failed)?).await?;
            fetched += 1;
        }
        Ok(fetched)
    }
}

/// Whoever gave us a vote and the lead wants to leave the group, and cannot do so itself: first it loses its vote, then, when it knows that,
/// its membership.
async fn finish(shard: &ShardGroup) -> Result<(), StepError> {
    let raft = shard.raft();
    let status = raft.status();
    if !status.leads() || status.membership.joint {
        return Ok(());
    }
    if status.membership.voters.len() > 1 {
        raft.change_voters(BTreeSet::from([shard.replica()])).await?;
    } else if !status.informed_learners().is_empty() {
        raft.remove(status.informed_learners()).await?;
    }
    Ok(())
}

fn read(chunk: Chunk) -> Result<SealedChunk, Box<dyn std::error::Error + Send + Sync>> {
    let Chunk { chunk_id, upload_id, index, sealed } = chunk;
    Ok(SealedChunk {
        id: ChunkId(chunk_id.as_ref().try_into()?),
        upload: upload_id.as_ref().try_into()?,
        index,
        sealed,
    })
}
