//! For other replicas' nodes: sealed chunks, and how far our replica is.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use holdfast_domain::{GroupId, NodeId, Reason};
use holdfast_proto::node::v1::{
    Chunk, DigestsReply, DigestsRequest, FetchChunksRequest, LackedChunksReply, LackedChunksRequest,
    PutChunksReply, PutChunksRequest, ReadinessReply, ReadinessRequest, SlotDigest, peer_server::Peer,
};
use holdfast_store::segments::ChunkId;
use holdfast_sys_core::{Caller, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    groups::{Runtime, read_chunk},
    limits::{FETCH_QUEUE, MAX_FETCH_CHUNKS},
    partition::ShardGroup,
};

/// How long a replica may be behind the leader that sends it chunks.
const APPLY_PATIENCE: Duration = Duration::from_secs(3);

/// The service.
pub struct PeerService(Arc<Runtime>);

impl PeerService {
    /// Over this node's replicas.
    pub const fn new(runtime: Arc<Runtime>) -> Self {
        Self(runtime)
    }

    /// The replica, if the caller has one of the same group in the newest map.
    fn replica(&self, caller: &Caller, group: u32) -> Result<Arc<ShardGroup>, Refusal> {
        let group = GroupId(group);
        let Caller::Node(caller) = caller else { return Err(Reason::NotPermitted.into()) };
        if !self.members(group).contains(caller) {
            return Err(Reason::NotAMember.into());
        }
        self.0.hosted.get(group).ok_or_else(|| Reason::NotReady.into())
    }

    fn members(&self, group: GroupId) -> BTreeSet<NodeId> {
        let view = self.0.view.borrow();
        let descriptor = view.map.as_ref().and_then(|map| map.map.group(group));
        descriptor
            .map(|group| group.replicas.iter().map(|replica| replica.node).collect())
            .unwrap_or_default()
    }

    /// The replica, if the caller has one of the same group or of one that gets slots of it.
    fn source(&self, caller: &Caller, group: u32) -> Result<Arc<ShardGroup>, Refusal> {
        let to = {
            let view = self.0.view.borrow();
            let mut moves = view.map.iter().flat_map(|map| &map.map.moves);
            moves.find(|of| of.from == GroupId(group)).map(|of| of.to)
        };
        match (caller, to) {
            (Caller::Node(node), Some(to)) if self.members(to).contains(node) => {
                self.0.hosted.get(GroupId(group)).ok_or_else(|| Reason::NotReady.into())
            }
            _ => self.replica(caller, group),
        }
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type FetchChunksStream = ReceiverStream<Result<Chunk, Status>>;

    async fn fetch_chunks(
        &self,
        request: Request<FetchChunksRequest>,
    ) -> Result<Response<Self::FetchChunksStream>, Status> {
        let caller = Caller::of(&request)?.clone();
        let FetchChunksRequest { group, chunk_ids } = request.into_inner();
        let shard = self.source(&caller, group)?;
        let ids = read_ids(&chunk_ids)?;
        let (sender, receiver) = mpsc::channel(FETCH_QUEUE);
        tokio::spawn(send(shard, ids, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn readiness(
        &self,
        request: Request<ReadinessRequest>,
    ) -> Result<Response<ReadinessReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let ReadinessRequest { group, key_generation } = request.into_inner();
        let shard = self.replica(&caller, group)?;
        let keys = shard.state().keys();
        if keys.newest().0 < key_generation
            && let Err(error) = self.0.receive_keys(shard.id()).await
        {
            tracing::warn!(group, key_generation, error = %holdfast_domain::causes(&error), "no key yet");
        }
        // Applied first: what is missing is then counted in a state at least that new.
        let applied_index = shard.raft().status().applied.unwrap_or_default();
        let missing = shard.missing_chunks(MAX_FETCH_CHUNKS).await?.len();
        let missing_chunks = u32::try_from(missing).unwrap_or(u32::MAX);
        Ok(Response::new(ReadinessReply { applied_index, missing_chunks, key_generation: keys.newest().0 }))
    }

    async fn put_chunks(
        &self,
        request: Request<PutChunksRequest>,
    ) -> Result<Response<PutChunksReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let PutChunksRequest { group, min_index, chunks } = request.into_inner();
        let shard = self.replica(&caller, group)?;
        let behind = shard.raft().wait_applied(min_index, APPLY_PATIENCE).await;
        behind.map_err(|_| Refusal::new(Reason::NotReady))?;
        for chunk in chunks {
            let chunk = read_chunk(chunk).map_err(|_| Refusal::new(Reason::Malformed))?;
            shard.import_chunk(chunk).await?;
        }
        shard.sync_chunks().await?;
        Ok(Response::new(PutChunksReply {}))
    }

    async fn lacked_chunks(
        &self,
        request: Request<LackedChunksRequest>,
    ) -> Result<Response<LackedChunksReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let LackedChunksRequest { group, chunk_ids } = request.into_inner();
        let shard = self.replica(&caller, group)?;
        let lacked = shard.lacked_chunks(read_ids(&chunk_ids)?).await?;
        let chunk_ids = lacked.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        Ok(Response::new(LackedChunksReply { chunk_ids }))
    }

    async fn digests(&self, request: Request<DigestsRequest>) -> Result<Response<DigestsReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let DigestsRequest { group, mark } = request.into_inner();
        let shard = self.replica(&caller, group)?;
        let taken = shard.state().taken().filter(|taken| taken.mark == mark);
        // The caller asks again: this replica may be on its way to that place.
        let taken = taken.ok_or_else(|| Refusal::new(Reason::NotReady))?;
        let slots = taken.digests.iter().map(|(slot, digest)| SlotDigest {
            slot: slot.number().into(),
            digest: Bytes::copy_from_slice(digest),
        });
        Ok(Response::new(DigestsReply { slots: slots.collect() }))
    }
}

fn read_ids(ids: &[Bytes]) -> Result<Vec<ChunkId>, Refusal> {
    if ids.len() > MAX_FETCH_CHUNKS {
        return Err(Refusal::new(Reason::Malformed));
    }
    let ids: Result<_, _> = ids.iter().map(|id| id.as_ref().try_into().map(ChunkId)).collect();
    ids.map_err(|_| Refusal::new(Reason::Malformed))
}

/// Streams the chunks that we have; what we lack is left out, and the caller asks again.
async fn send(shard: Arc<ShardGroup>, ids: Vec<ChunkId>, sender: mpsc::Sender<Result<Chunk, Status>>) {
    for id in ids {
        let message = match shard.export_chunk(id).await {
            Ok(Some(chunk)) => Ok(Chunk {
                chunk_id: Bytes::copy_from_slice(&chunk.id.0),
                upload_id: Bytes::copy_from_slice(chunk.upload.as_bytes()),
                index: chunk.index,
                sealed: chunk.sealed,
            }),
            Ok(None) => continue,
            Err(refusal) => Err(refusal.into()),
        };
        if sender.send(message).await.is_err() {
            return;
        }
    }
}
