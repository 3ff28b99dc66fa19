//! Other nodes as callees, and the other replicas of a group as holders of chunks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_certs::{DialError, Dialer, ExpectedServer};
use holdfast_consensus::{Group, Member};
use holdfast_domain::{NodeId, Reason, ReplicaId};
use holdfast_proto::node::v1::{
    Chunk, FetchChunksRequest, LackedChunksRequest, PutChunksRequest, peer_client::PeerClient,
};
use holdfast_store::segments::ChunkId;
use holdfast_sys_core::Refusal;
use tonic::transport::Channel;

use super::chunks::read;
use crate::content::{ChunkPeers, SealedChunk};

/// How long another replica may take to sync chunks.
const PATIENCE: Duration = Duration::from_secs(10);

/// One channel to each other node.
pub struct Neighbours {
    dialer: Dialer,
    channels: Mutex<BTreeMap<NodeId, (String, Channel)>>,
}

impl Neighbours {
    /// Dialed with this node's identity.
    pub fn new(dialer: Dialer) -> Self {
        Self { dialer, channels: Mutex::default() }
    }

    /// A channel to a node at its address.
    ///
    /// # Errors
    /// An address that is none.
    pub fn channel(&self, node: NodeId, address: &str) -> Result<Channel, DialError> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = channels.get(&node)
            && known == address
        {
            return Ok(channel.clone());
        }
        let channel = self.dialer.channel(address, ExpectedServer::Node(node))?;
        channels.insert(node, (address.to_owned(), channel.clone()));
        Ok(channel)
    }

    /// A node at its address, as a callee.
    ///
    /// # Errors
    /// As [`Self::channel`].
    pub fn peer(&self, node: NodeId, address: &str) -> Result<PeerClient<Channel>, DialError> {
        self.channel(node, address).map(PeerClient::new)
    }
}

/// The other replicas of one group, as its own membership knows them.
pub(super) struct GroupPeers {
    pub(super) raft: Group,
    pub(super) neighbours: Arc<Neighbours>,
}

impl GroupPeers {
    fn peer(&self, replica: ReplicaId) -> Result<PeerClient<Channel>, Refusal> {
        let membership = self.raft.status().membership;
        let unknown = || Refusal::new(Reason::NotReady).because("no member any more");
        let Member { node, address, .. } = membership.members.get(&replica).ok_or_else(unknown)?;
        let dialed = self.neighbours.peer(*node, address);
        dialed.map_err(|error| Refusal::new(Reason::NotReady).because(error))
    }

    async fn call<T>(
        answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>> + Send,
    ) -> Result<T, Refusal> {
        let failed = |detail: String| Refusal::new(Reason::NotReady).because(detail);
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(failed(status.to_string())),
            Err(_) => Err(failed("another replica does not answer in time".into())),
        }
    }
}

#[async_trait]
impl ChunkPeers for GroupPeers {
    async fn put(&self, to: ReplicaId, min_index: u64, chunks: Vec<SealedChunk>) -> Result<(), Refusal> {
        let chunks = chunks.iter().map(wire).collect();
        let request = PutChunksRequest { group: self.raft.id().0, min_index, chunks };
        let mut peer = self.peer(to)?;
        Self::call(peer.put_chunks(request)).await.map(drop)
    }

    async fn lacked(&self, at: ReplicaId, ids: &[ChunkId]) -> Result<Vec<ChunkId>, Refusal> {
        let chunk_ids = ids.iter().map(|id| Bytes::copy_from_slice(&id.0)).collect();
        let request = LackedChunksRequest { group: self.raft.id().0, chunk_ids };
        let mut peer = self.peer(at)?;
        let lacked = Self::call(peer.lacked_chunks(request)).await?.chunk_ids;
        let lacked: Result<_, _> = lacked.iter().map(|id| id.as_ref().try_into().map(ChunkId)).collect();
        lacked.map_err(|_| Refusal::new(Reason::Malformed).because("a chunk id of another length"))
    }

    async fn fetch(&self, id: ChunkId) -> Result<Option<SealedChunk>, Refusal> {
        let members = self.raft.status().membership;
        let others = members.voters.iter().filter(|voter| **voter != self.raft.replica());
        let mut last = None;
        for from in others {
            match self.fetch_from(*from, id).await {
                Ok(Some(chunk)) => return Ok(Some(chunk)),
                Ok(None) => {}
                Err(refusal) => last = Some(refusal),
            }
        }
        last.map_or(Ok(None), Err)
    }
}

impl GroupPeers {
    async fn fetch_from(&self, from: ReplicaId, id: ChunkId) -> Result<Option<SealedChunk>, Refusal> {
        let chunk_ids = vec![Bytes::copy_from_slice(&id.0)];
        let request = FetchChunksRequest { group: self.raft.id().0, chunk_ids };
        let mut peer = self.peer(from)?;
        let mut chunks = Self::call(peer.fetch_chunks(request)).await?;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Refusal::new(Reason::NotReady).because(error.to_string())
        };
        let chunk = chunks.message().await.map_err(|status| failed(status.into()))?;
        chunk.map(|chunk| read(chunk).map_err(failed)).transpose()
    }
}

/// A chunk as it goes over the wire.
pub(crate) fn wire(chunk: &SealedChunk) -> Chunk {
    Chunk {
        chunk_id: Bytes::copy_from_slice(&chunk.id.0),
        upload_id: Bytes::copy_from_slice(chunk.upload.as_bytes()),
        index: chunk.index,
        sealed: chunk.sealed.clone(),
    }
}
