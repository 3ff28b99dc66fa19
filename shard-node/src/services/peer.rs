//! For other replicas' nodes: sealed chunks, and how far our replica is.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use holdfast_domain::{GroupId, NodeId, Reason};
use holdfast_proto::node::v1::{
    Chunk, FetchChunksRequest, ReadinessReply, ReadinessRequest, peer_server::Peer,
};
use holdfast_store::segments::ChunkId;
use holdfast_sys_core::{Caller, Refusal};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    groups::Runtime,
    limits::{FETCH_QUEUE, MAX_FETCH_CHUNKS},
    partition::ShardGroup,
};

/// The service.
pub struct PeerService(Arc<Runtime>);

impl PeerService {
    /// Over this node's replicas.
    pub const fn new(runtime: Arc<Runtime>) -> Self {
        Self(runtime)
    }

    /// The replica, served or just handed over, if the caller has one of the same group in the newest map.
    fn replica(&self, caller: &Caller, group: GroupId) -> Result<Arc<ShardGroup>, Refusal> {
        let Caller::Node(caller) = caller else { return Err(Reason::NotPermitted.into()) };
        if !self.members(group).contains(caller) {
            return Err(Reason::NotAMember.into());
        }
        let retiring =
            || self.0.retiring.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(&group).cloned();
        self.0.hosted.get(group).or_else(retiring).ok_or_else(|| Reason::NotReady.into())
    }

    fn members(&self, group: GroupId) -> BTreeSet<NodeId> {
        let view = self.0.view.borrow();
        let descriptor = view.map.as_ref().and_then(|map| map.map.group(group));
        descriptor
            .map(|group| group.replicas.iter().map(|replica| replica.node).collect())
            .unwrap_or_default()
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
        let shard = self.replica(&caller, GroupId(group))?;
        if chunk_ids.len() > MAX_FETCH_CHUNKS {
            return Err(Refusal::new(Reason::Malformed).into());
        }
        let ids: Result<Vec<_>, _> = chunk_ids.iter().map(|id| id.as_ref().try_into().map(ChunkId)).collect();
        let ids = ids.map_err(|_| Refusal::new(Reason::Malformed))?;
        let (sender, receiver) = mpsc::channel(FETCH_QUEUE);
        tokio::spawn(send(shard, ids, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn readiness(
        &self,
        request: Request<ReadinessRequest>,
    ) -> Result<Response<ReadinessReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let shard = self.replica(&caller, GroupId(request.into_inner().group))?;
        // Applied first: what is missing is then counted in a state at least that new.
        let status = shard.raft().status();
        let (applied_index, alone) = (status.applied.unwrap_or_default(), status.leads_alone());
        let missing = shard.missing_chunks(MAX_FETCH_CHUNKS).await?.len();
        let missing_chunks = u32::try_from(missing).unwrap_or(u32::MAX);
        Ok(Response::new(ReadinessReply { applied_index, missing_chunks, alone }))
    }
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
