//! The service's handlers: as little work as the messages allow.

use std::pin::Pin;

use bytes::Bytes;
use futures::Stream;
use holdfast_files_api::v1::{
    AppendReply, AppendRequest, BeginReply, BeginRequest, CommitReply, CommitRequest, FileInfo, GetReply,
    GetRequest, ListReply, ListRequest, PutSmallRequest, RemoveReply, RemoveRequest, StatRequest, UsageReply,
    UsageRequest, files_server::Files,
};
use holdfast_proto::module::v1::Route;
use tonic::{Request, Response, Status, Streaming};

use super::{CHUNK, MAX_MESSAGE, by_hand::ByHand};

/// Keeps nothing.
#[derive(Clone)]
pub(super) struct Stub {
    zeros: Bytes,
    checks: Option<ByHand>,
}

impl Stub {
    /// With checks in its handler for small writes, or with none.
    pub(super) fn new(checks: Option<ByHand>) -> Self {
        Self { zeros: Bytes::from(vec![0; MAX_MESSAGE]), checks }
    }
}

fn wanted(route: Option<Route>) -> usize {
    route.and_then(|route| usize::try_from(route.map_epoch).ok()).unwrap_or_default()
}

fn unused<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not part of any measurement"))
}

#[tonic::async_trait]
impl Files for Stub {
    type GetStream = Pin<Box<dyn Stream<Item = Result<GetReply, Status>> + Send>>;

    async fn put_small(&self, request: Request<PutSmallRequest>) -> Result<Response<CommitReply>, Status> {
        if let Some(checks) = &self.checks {
            checks.check(&request, request.get_ref().route.as_ref())?;
        }
        let PutSmallRequest { route: _, name, data, sha256 } = request.into_inner();
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        Ok(Response::new(CommitReply { file: Some(FileInfo { name, size, sha256, modified_ms: 1 }) }))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<FileInfo>, Status> {
        let bytes = wanted(request.into_inner().route).min(self.zeros.len());
        Ok(Response::new(FileInfo { name: self.zeros.slice(..bytes), ..FileInfo::default() }))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<AppendReply>, Status> {
        let (mut messages, mut durable_bytes) = (request.into_inner(), 0u64);
        while let Some(message) = messages.message().await? {
            durable_bytes += u64::try_from(message.data.len()).unwrap_or_default();
        }
        Ok(Response::new(AppendReply { durable_bytes }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Self::GetStream>, Status> {
        let chunk = GetReply { file: None, data: self.zeros.slice(..CHUNK) };
        let chunks = std::iter::repeat_n(Ok(chunk), wanted(request.into_inner().route));
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn begin(&self, _: Request<BeginRequest>) -> Result<Response<BeginReply>, Status> {
        unused()
    }

    async fn commit(&self, _: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        unused()
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        unused()
    }

    async fn remove(&self, _: Request<RemoveRequest>) -> Result<Response<RemoveReply>, Status> {
        unused()
    }

    async fn usage(&self, _: Request<UsageRequest>) -> Result<Response<UsageReply>, Status> {
        unused()
    }
}
