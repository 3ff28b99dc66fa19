//! For operators: how this node is.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_proto::node::v1::{GroupStatus, NodeStatusReply, NodeStatusRequest, node_server::Node};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::{groups::Runtime, partition::ShardGroup};

/// The service.
pub struct NodeService {
    runtime: Arc<Runtime>,
    connected: watch::Receiver<bool>,
}

impl NodeService {
    /// Over this node's replicas; `connected` says whether a registry member is.
    pub const fn new(runtime: Arc<Runtime>, connected: watch::Receiver<bool>) -> Self {
        Self { runtime, connected }
    }
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn status(&self, _: Request<NodeStatusRequest>) -> Result<Response<NodeStatusReply>, Status> {
        let member = &self.runtime.keeper.member;
        let map_epoch = self.runtime.view.borrow().map.as_ref().map_or(0, |map| map.map.epoch.0);
        let mut groups = Vec::new();
        for shard in self.runtime.hosted.all() {
            groups.push(group_status(shard).await);
        }
        Ok(Response::new(NodeStatusReply {
            node_id: Bytes::copy_from_slice(member.settings().node.as_bytes()),
            map_epoch,
            groups,
            leaf_not_after_ms: member.listener_identity.current().not_after().0,
            registry_reachable: *self.connected.borrow(),
        }))
    }
}

async fn group_status(shard: Arc<ShardGroup>) -> GroupStatus {
    let raft = shard.raft().status();
    let state = Arc::clone(shard.state());
    // Counting blocks; a status without counts beats none.
    let stats = tokio::task::spawn_blocking(move || state.stats()).await;
    let stats = stats.ok().and_then(Result::ok).unwrap_or_default();
    GroupStatus {
        group: shard.id().0,
        replica_id: raft.replica.0,
        leader: raft.leads(),
        applied_index: raft.applied.unwrap_or_default(),
        records: stats.records,
        stored_bytes: stats.record_bytes,
    }
}
