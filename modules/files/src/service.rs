//! The service: reads each request and hands it over to the operation, with the home that the gate opened.

use std::time::Duration;

use futures::Stream;
use holdfast_domain::Reason;
use holdfast_files_api::v1::{
    AppendReply, AppendRequest, BeginReply, BeginRequest, CommitReply, CommitRequest, FileInfo, GetRequest,
    ListReply, ListRequest, PutSmallRequest, RemoveReply, RemoveRequest, StatRequest, UsageReply,
    UsageRequest,
    files_server::{Files, FilesServer},
};
use holdfast_sys_core::{Refusal, gate::Context};
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
    request,
    rows::FileRow,
    small::PutSmall,
    transact::transact,
    usage::Usage,
};

/// The files service.
pub struct FilesService {
    homes: Homes,
    /// How long a client may keep a transfer waiting.
    pub(crate) patience: Duration,
}

/// The service to mount on a server.
pub fn server() -> FilesServer<FilesService> {
    serving(FilesService::new())
}

pub(crate) fn serving(service: FilesService) -> FilesServer<FilesService> {
    FilesServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
}

impl FilesService {
    /// Without any home: each request brings its own.
    pub fn new() -> Self {
        Self { homes: Homes::new(), patience: TRANSFER_PATIENCE }
    }

    /// [`Files::append`] over any stream of messages.
    async fn receive<S>(&self, context: Context, mut messages: S) -> Result<AppendReply, Status>
    where
        S: Stream<Item = Result<AppendRequest, Status>> + Unpin + Send,
    {
        let mut pace = Pace::new(self.patience);
        let deadline = pace.deadline();
        let first = append::next(&mut messages, deadline).await?.ok_or(Refusal::new(Reason::Malformed))?;
        pace.moved(deadline, first.data.len());
        let upload = request::upload(&first.upload_id)?;
        let _transfer = self.homes.transfer(context.home(), context.account()?)?;
        let durable_bytes = append::run(context.whole()?, upload, first, messages, pace).await?;
        Ok(AppendReply { durable_bytes })
    }
}

impl Default for FilesService {
    fn default() -> Self {
        Self::new()
    }
}

#[tonic::async_trait]
impl Files for FilesService {
    async fn begin(&self, request: Request<BeginRequest>) -> Result<Response<BeginReply>, Status> {
        let context = Context::of(&request)?.clone();
        let BeginRequest { route: _, name, size, upload_id } = request.into_inner();
        let begin = Begin { upload: request::upload(&upload_id)?, name: FileName::parse(&name)?, size };
        let partition = context.whole()?;
        let home = self.homes.of(context.home());
        let durable_bytes = transact(partition, &home, context.stored_command()?, &begin).await?;
        Ok(Response::new(BeginReply { durable_bytes }))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<AppendReply>, Status> {
        let context = Context::of(&request)?.clone();
        self.receive(context, request.into_inner()).await.map(Response::new)
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitReply>, Status> {
        let context = Context::of(&request)?.clone();
        let CommitRequest { route: _, upload_id, sha256 } = request.into_inner();
        let (upload, sha256) = (request::upload(&upload_id)?, request::sha256(&sha256)?);
        let partition = context.whole()?;
        // Reading back what was uploaded is a transfer like any other.
        let _transfer = self.homes.transfer(context.home(), context.account()?)?;
        let home = self.homes.of(context.home());
        let file = commit::run(partition, &home, context.stored_command()?, upload, sha256).await?;
        Ok(Response::new(CommitReply { file: Some(file) }))
    }

    async fn put_small(&self, request: Request<PutSmallRequest>) -> Result<Response<CommitReply>, Status> {
        let context = Context::of(&request)?.clone();
        let PutSmallRequest { route: _, name, data, sha256 } = request.into_inner();
        let put = PutSmall::new(FileName::parse(&name)?, data, request::sha256(&sha256)?)?;
        let partition = context.whole()?;
        let home = self.homes.of(context.home());
        let file = transact(partition, &home, context.stored_command()?, &put).await?;
        Ok(Response::new(CommitReply { file: Some(file) }))
    }

    type GetStream = Replies;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Replies>, Status> {
        let context = Context::of(&request)?.clone();
        let GetRequest { route: _, name, offset } = request.into_inner();
        let name = FileName::parse(&name)?;
        let partition = context.whole()?;
        let transfer = self.homes.transfer(context.home(), context.account()?)?;
        Ok(Response::new(get::run(partition, &name, offset, transfer, Pace::new(self.patience)).await?))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<FileInfo>, Status> {
        let context = Context::of(&request)?.clone();
        let StatRequest { route: _, name } = request.into_inner();
        let name = FileName::parse(&name)?;
        let partition = context.whole()?;
        let found = FileRow::read(partition, &name).await?;
        let (row, _) = found.ok_or(Refusal::new(Reason::NotFound))?;
        Ok(Response::new(row.info()))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let context = Context::of(&request)?.clone();
        let ListRequest { route: _, prefix, cursor, limit } = request.into_inner();
        let list = List::parse(&prefix, &cursor, limit)?;
        let partition = context.whole()?;
        Ok(Response::new(list.run(partition).await?))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<RemoveReply>, Status> {
        let context = Context::of(&request)?.clone();
        let RemoveRequest { route: _, name } = request.into_inner();
        let remove = Remove { name: FileName::parse(&name)?, command: context.stored_command()? };
        let partition = context.whole()?;
        let home = self.homes.of(context.home());
        transact(partition, &home, remove.command, &remove).await?;
        Ok(Response::new(RemoveReply {}))
    }

    async fn usage(&self, request: Request<UsageRequest>) -> Result<Response<UsageReply>, Status> {
        let context = Context::of(&request)?.clone();
        let partition = context.whole()?;
        let (usage, _) = Usage::read(partition).await?;
        Ok(Response::new(UsageReply {
            used_bytes: usage.used_bytes,
            quota_bytes: partition.quota_bytes(),
            files: usage.files,
        }))
    }
}
