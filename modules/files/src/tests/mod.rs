//! The service over a partition in memory.

mod fake;
mod files;
mod quota;
mod uploads;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::TryStreamExt as _;
use holdfast_domain::{AccountId, ClientId, Home, Reason, Sha256Hash, UploadId};
use holdfast_files_api::v1::{
    AppendRequest, BeginRequest, CommitRequest, FileInfo, GetRequest, ListReply, ListRequest,
    PutSmallRequest, RemoveRequest, StatRequest, UsageReply, UsageRequest, files_server::Files as _,
};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::{Caller, Refusal};
use tonic::{Request, Status};

use crate::FilesService;
use fake::{FakeHost, FakePartition};

/// A client of one account.
struct Client {
    service: Arc<FilesService>,
    host: Arc<FakeHost>,
    account: AccountId,
    commands: AtomicU64,
}

/// A service and its first client.
fn client() -> Client {
    let host = Arc::new(FakeHost::default());
    let service = Arc::new(FilesService::new(Arc::clone(&host) as _));
    Client { service, host, account: AccountId::new([1; 16]), commands: AtomicU64::new(0) }
}

fn hash(data: &[u8]) -> Bytes {
    Sha256Hash::of(data).as_bytes().to_vec().into()
}

/// Content that differs in every chunk.
fn content(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 1000 + at % 251) as u8).collect()
}

fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    Refusal::from_status(&result.unwrap_err()).unwrap().reason()
}

impl Client {
    fn other(&self, account: u8) -> Self {
        let (service, host) = (Arc::clone(&self.service), Arc::clone(&self.host));
        Self { service, host, account: AccountId::new([account; 16]), commands: AtomicU64::new(1 << 32) }
    }

    fn home(&self) -> Arc<FakePartition> {
        self.host.home(self.account.into())
    }

    fn caller(&self) -> Caller {
        Caller::Client {
            client: ClientId::new([9; 16]),
            home: Home { account: self.account, quota_bytes: 1 << 30 },
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.extensions_mut().insert(self.caller());
        request
    }

    /// A route with a command id of its own.
    fn route(&self) -> Option<Route> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let command_id = [number.to_be_bytes(), [3; 8]].concat().into();
        Some(Route { map_epoch: 1, group: 1, command_id, home: None })
    }

    async fn put(&self, name: &[u8], data: &[u8]) -> Result<FileInfo, Status> {
        self.put_as(self.route(), name, data).await
    }

    async fn put_as(&self, route: Option<Route>, name: &[u8], data: &[u8]) -> Result<FileInfo, Status> {
        let (name, sha256) = (name.to_vec().into(), hash(data));
        let request = PutSmallRequest { route, name, data: data.to_vec().into(), sha256 };
        Ok(self.service.put_small(self.request(request)).await?.into_inner().file.unwrap())
    }

    async fn begin(&self, upload: UploadId, name: &[u8], size: usize) -> Result<u64, Status> {
        let (name, upload_id) = (name.to_vec().into(), upload.as_bytes().to_vec().into());
        let request = BeginRequest { route: self.route(), name, size: size as u64, upload_id };
        Ok(self.service.begin(self.request(request)).await?.into_inner().durable_bytes)
    }

    /// Sends `data` from `offset` in pieces.
    async fn append(&self, upload: UploadId, offset: u64, data: &[u8], piece: usize) -> Result<u64, Status> {
        let upload_id = Bytes::from(upload.as_bytes().to_vec());
        let head = AppendRequest { route: self.route(), upload_id, offset, data: Bytes::new() };
        let pieces = data
            .chunks(piece)
            .map(|piece| AppendRequest { data: piece.to_vec().into(), ..AppendRequest::default() });
        let messages: Vec<_> = std::iter::once(head).chain(pieces).map(Ok).collect();
        let reply = self.service.receive(self.caller(), futures::stream::iter(messages)).await?;
        Ok(reply.durable_bytes)
    }

    async fn commit(&self, upload: UploadId, sha256: Bytes) -> Result<FileInfo, Status> {
        self.commit_as(self.route(), upload, sha256).await
    }

    async fn commit_as(
        &self,
        route: Option<Route>,
        upload: UploadId,
        sha256: Bytes,
    ) -> Result<FileInfo, Status> {
        let request = CommitRequest { route, upload_id: upload.as_bytes().to_vec().into(), sha256 };
        Ok(self.service.commit(self.request(request)).await?.into_inner().file.unwrap())
    }

    async fn get(&self, name: &[u8], offset: u64) -> Result<(FileInfo, Vec<u8>), Status> {
        let request = GetRequest { route: self.route(), name: name.to_vec().into(), offset };
        let stream = self.service.get(self.request(request)).await?.into_inner();
        let replies: Vec<_> = stream.try_collect().await?;
        let data = replies.iter().flat_map(|reply| reply.data.clone()).collect();
        assert!(replies.iter().skip(1).all(|reply| reply.file.is_none()));
        Ok((replies[0].file.clone().unwrap(), data))
    }

    async fn stat(&self, name: &[u8]) -> Result<FileInfo, Status> {
        let request = StatRequest { route: self.route(), name: name.to_vec().into() };
        Ok(self.service.stat(self.request(request)).await?.into_inner())
    }

    async fn list_page(&self, prefix: &[u8], cursor: Bytes, limit: u32) -> Result<ListReply, Status> {
        let request = ListRequest { route: self.route(), prefix: prefix.to_vec().into(), cursor, limit };
        Ok(self.service.list(self.request(request)).await?.into_inner())
    }

    /// All names under a prefix, sorted.
    async fn list(&self, prefix: &[u8], limit: u32) -> Vec<Vec<u8>> {
        let (mut names, mut cursor) = (Vec::new(), Bytes::new());
        loop {
            let page = self.list_page(prefix, cursor, limit).await.unwrap();
            assert!(page.files.len() <= limit as usize);
            names.extend(page.files.into_iter().map(|file| file.name.to_vec()));
            cursor = page.cursor;
            if cursor.is_empty() {
                names.sort();
                return names;
            }
        }
    }

    async fn remove_as(&self, route: Option<Route>, name: &[u8]) -> Result<(), Status> {
        let request = RemoveRequest { route, name: name.to_vec().into() };
        self.service.remove(self.request(request)).await.map(drop)
    }

    async fn remove(&self, name: &[u8]) -> Result<(), Status> {
        self.remove_as(self.route(), name).await
    }

    async fn usage(&self) -> UsageReply {
        let request = self.request(UsageRequest { route: self.route() });
        self.service.usage(request).await.unwrap().into_inner()
    }

    /// A whole upload.
    async fn upload(&self, upload: u8, name: &[u8], data: &[u8]) -> Result<FileInfo, Status> {
        let upload = UploadId::new([upload; 16]);
        let durable = self.begin(upload, name, data.len()).await?;
        let rest = &data[usize::try_from(durable).unwrap()..];
        self.append(upload, durable, rest, 100_000).await?;
        self.commit(upload, hash(data)).await
    }
}
