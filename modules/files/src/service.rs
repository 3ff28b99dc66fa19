//! The service: reads each request, finds the caller's home and hands over to the operation.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use holdfast_domain::Reason;
use holdfast_files_api::v1::{
    AppendReply, AppendRequest, BeginReply, BeginRequest, CommitReply, CommitRequest, FileInfo, GetRequest,
    ListReply, ListRequest, PutSmallRequest, RemoveReply, RemoveRequest, StatRequest, UsageReply,
    UsageRequest,
    files_server::{Files, FilesServer},
};
use holdfast_sys_core::{
    Caller, Refusal,
    gate::HomeAccess,
    module::{Partition, PartitionHost},
};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    append,
    begin::Begin,
    commit,
    get::{self, Replies},
    homes::Homes,
    limits::{MAX_REQUEST_BYTES, TRANSFER_PATIENCE},
    list::List,
    name::FileName,
    pace::Pace,
    remove::Remove,
    request::{self, Way},
    rows::FileRow,
    small::PutSmall,
    transact::transact,
    usage::Usage,
};

/// The files service over the homes of one host.
pub struct FilesService {
    host: Arc<dyn PartitionHost>,
    homes: Homes,
    /// How long a client may keep a transfer waiting.
    pub(crate) patience: Duration,
}

/// The service to mount on a server.
pub fn server(host: Arc<dyn PartitionHost>) -> FilesServer<FilesService> {
    FilesServer::new(FilesService::new(host)).max_decoding_message_size(MAX_REQUEST_BYTES)
}

impl FilesService {
    /// Over the homes that `host` serves.
    pub fn new(host: Arc<dyn PartitionHost>) -> Self {
        Self { host, homes: Homes::new(), patience: TRANSFER_PATIENCE }
    }

    async fn home(&self, caller: &Caller, way: Way) -> Result<Arc<dyn Partition>, Refusal> {
        self.host.partition(&HomeAccess::own(caller)?, way.own(caller)?).await
    }

    /// [`Files::append`] over any stream of messages.
    pub(crate) async fn receive<S>(&self, caller: Caller, mut messages: S) -> Result<AppendReply, Status>
    where
        S: Stream<Item = Result<AppendRequest, Status>> + Unpin + Send,
    {
        let mut pace = Pace::new(self.patience);
        let deadline = pace.deadline();
        let first = append::next(&mut messages, deadline).await?.ok_or(Refusal::new(Reason::Malformed))?;
        pace.moved(deadline, first.data.len());
        let upload = request::upload(&first.upload_id)?;
        let partition = self.home(&caller, request::route(first.route.as_ref())?).await?;
        let _transfer = self.homes.transfer(partition.home())?;
        let durable_bytes = append::run(&*partition, upload, first, messages, pace).await?;
        Ok(AppendReply { durable_bytes })
    }
}

#[tonic::async_trait]
impl Files for FilesService {
    async fn begin(&self, request: Request<BeginRequest>) -> Result<Response<BeginReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let BeginRequest { route, name, size, upload_id } = request.into_inner();
        let (route, command) = request::command(route.as_ref())?;
        let begin = Begin { upload: request::upload(&upload_id)?, name: FileName::parse(&name)?, size };
        let partition = self.home(&caller, route).await?;
        let home = self.homes.of(partition.home());
        let durable_bytes = transact(&*partition, &home, command, &begin).await?;
        Ok(Response::new(BeginReply { durable_bytes }))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<AppendReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        self.receive(caller, request.into_inner()).await.map(Response::new)
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let CommitRequest { route, upload_id, sha256 } = request.into_inner();
        let (route, command) = request::command(route.as_ref())?;
        let (upload, sha256) = (request::upload(&upload_id)?, request::sha256(&sha256)?);
        let partition = self.home(&caller, route).await?;
        // Reading back what was uploaded is a transfer like any other.
        let _transfer = self.homes.transfer(partition.home())?;
        let home = self.homes.of(partition.home());
        let file = commit::run(&*partition, &home, command, upload, sha256).await?;
        Ok(Response::new(CommitReply { file: Some(file) }))
    }

    async fn put_small(&self, request: Request<PutSmallRequest>) -> Result<Response<CommitReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let PutSmallRequest { route, name, data, sha256 } = request.into_inner();
        let (route, command) = request::command(route.as_ref())?;
        let put = PutSmall::new(FileName::parse(&name)?, data, request::sha256(&sha256)?)?;
        let partition = self.home(&caller, route).await?;
        let home = self.homes.of(partition.home());
        let file = transact(&*partition, &home, command, &put).await?;
        Ok(Response::new(CommitReply { file: Some(file) }))
    }

    type GetStream = Replies;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Replies>, Status> {
        let caller = Caller::of(&request)?.clone();
        let GetRequest { route, name, offset } = request.into_inner();
        let (route, name) = (request::route(route.as_ref())?, FileName::parse(&name)?);
        let partition = self.home(&caller, route).await?;
        let transfer = self.homes.transfer(partition.home())?;
        Ok(Response::new(get::run(&*partition, &name, offset, transfer, Pace::new(self.patience)).await?))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<FileInfo>, Status> {
        let caller = Caller::of(&request)?.clone();
        let StatRequest { route, name } = request.into_inner();
        let (route, name) = (request::route(route.as_ref())?, FileName::parse(&name)?);
        let partition = self.home(&caller, route).await?;
        let found = FileRow::read(&*partition, &name).await?;
        let (row, _) = found.ok_or(Refusal::new(Reason::NotFound))?;
        Ok(Response::new(row.info()))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let ListRequest { route, prefix, cursor, limit } = request.into_inner();
        let (route, list) = (request::route(route.as_ref())?, List::parse(&prefix, &cursor, limit)?);
        let partition = self.home(&caller, route).await?;
        Ok(Response::new(list.run(&*partition).await?))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let RemoveRequest { route, name } = request.into_inner();
        let (route, command) = request::command(route.as_ref())?;
        let remove = Remove { name: FileName::parse(&name)?, command };
        let partition = self.home(&caller, route).await?;
        let home = self.homes.of(partition.home());
        transact(&*partition, &home, command, &remove).await?;
        Ok(Response::new(RemoveReply {}))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageReply>, Status> {
        let caller = Caller::of(&request)?.clone();
        let UsageRequest { route } = request.into_inner();
        let partition = self.home(&caller, request::route(route.as_ref())?).await?;
        let (usage, _) = Usage::read(&*partition).await?;
        Ok(Response::new(UsageReply {
            used_bytes: usage.used_bytes,
            quota_bytes: partition.quota_bytes(),
            files: usage.files,
        }))
    }
}
