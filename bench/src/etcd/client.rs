//! A client of etcd over tonic, as the clients of our nodes are.

use anyhow::Context as _;
use bytes::Bytes;
use holdfast_proto::Codec;
use prost::Message;
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};

use super::wire::{PutReply, PutRequest, RangeReply, RangeRequest, StatusReply, StatusRequest};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// One connection.
#[derive(Clone)]
pub(crate) struct Client(Channel);

impl Client {
    pub(super) const fn new(channel: Channel) -> Self {
        Self(channel)
    }

    /// Stores a value durably.
    pub(crate) async fn put(&self, key: Bytes, value: Bytes) -> anyhow::Result<()> {
        self.call::<_, PutReply>(PUT, PutRequest { key, value }).await.context("a put")?;
        Ok(())
    }

    /// Reads a value, linearizably as is etcd's default; its length.
    pub(crate) async fn get(&self, key: Bytes) -> anyhow::Result<usize> {
        let reply: RangeReply = self.call(RANGE, RangeRequest { key }).await.context("a range")?;
        Ok(reply.kvs.first().context("no such key")?.value.len())
    }

    /// Whether this member leads.
    pub(super) async fn leads(&self) -> anyhow::Result<bool> {
        let reply: StatusReply = self.call(STATUS, StatusRequest {}).await.context("a status")?;
        Ok(reply.leader != 0 && reply.header.is_some_and(|header| header.member_id == reply.leader))
    }

    async fn call<Q, R>(&self, path: &'static str, request: Q) -> anyhow::Result<R>
    where
        Q: Message + Default + 'static,
        R: Message + Default + 'static,
    {
        let mut grpc = Grpc::new(self.0.clone());
        grpc.ready().await.context("etcd's connection")?;
        let codec = Codec::<Q, R>::default();
        let reply = grpc.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
        Ok(reply.into_inner())
    }
}
