//! The service over a partition in memory.

mod fake;
mod files;
mod members;
mod quota;
mod uploads;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use holdfast_domain::{AccountId, ClientId, Home, HomeId, Reason, Sha256Hash, UploadId};
use holdfast_files_api::v1::{
    AppendReply, AppendRequest, BeginRequest, CommitRequest, FileInfo, GetRequest, ListReply, ListRequest,
    PutSmallRequest, RemoveRequest, StatRequest, UsageReply, UsageRequest, files_client::FilesClient,
};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::{
    BanList, Clock, PlatformServer, Refusal,
    gate::Gated,
    testing::{Local, Standings},
};
use tonic::Status;

use crate::{FilesService, POLICIES, limits::TRANSFER_PATIENCE};
use fake::{FakeHost, FakePartition};

/// A client of one account.
struct Client {
    server: PlatformServer,
    host: Arc<FakeHost>,
    standings: Arc<Standings>,
    account: AccountId,
    /// Whose files; `None` for its own.
    at: Option<HomeId>,
    commands: AtomicU64,
}

/// A service behind guard and gate, and its first client.
async fn client() -> Client {
    let (host, standings) = (Arc::new(FakeHost::default()), Standings::none());
    let server = server(&host, &standings, TRANSFER_PATIENCE).await;
    let account = AccountId::new([1; 16]);
    Client { server, host, standings, account, at: None, commands: AtomicU64::new(0) }
}

async fn server(host: &Arc<FakeHost>, standings: &Arc<Standings>, patience: Duration) -> PlatformServer {
    let mut service = FilesService::new();
    service.patience = patience;
    let gated = Gated {
        module: "files",
        policies: POLICIES,
        host: Arc::<FakeHost>::clone(host),
        standings: Arc::<Standings>::clone(standings),
    };
    let pinned = holdfast_certs::PinnedPeers::none();
    PlatformServer::builder("test".parse().unwrap(), BanList::new(), pinned, Clock::system())
        .descriptors(holdfast_proto::DESCRIPTORS)
        .descriptors(holdfast_files_api::DESCRIPTORS)
        .service(crate::service::serving(service))
        .module(gated)
        .build()
        .await
        .unwrap()
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
        let (server, host, standings) =
            (self.server.clone(), Arc::clone(&self.host), Arc::clone(&self.standings));
        let account = AccountId::new([account; 16]);
        Self { server, host, standings, account, at: None, commands: AtomicU64::new(1 << 32) }
    }

    /// The same client of another home's files.
    fn at(self, home: HomeId) -> Self {
        Self { at: Some(home), ..self }
    }

    /// From now on the service waits this long for its clients.
    async fn be_patient(&mut self, patience: Duration) {
        self.server = server(&self.host, &self.standings, patience).await;
    }

    fn home(&self) -> Arc<FakePartition> {
        self.host.home(self.at.unwrap_or(self.account.into()))
    }

    fn files(&self) -> FilesClient<Local> {
        let home = Home { account: self.account, quota_bytes: 1 << 30 };
        FilesClient::new(Local::client(&self.server, ClientId::new(*self.account.as_bytes()), home))
    }

    /// A route with a command id of its own.
    fn route(&self) -> Option<Route> {
        let number = self.commands.fetch_add(1, Ordering::Relaxed);
        let command_id = [number.to_be_bytes(), [3; 8]].concat().into();
        Some(Route { map_epoch: 1, group: 1, command_id, home: self.at.map(Into::into), max_staleness_ms: 0 })
    }

    async fn put(&self, name: &[u8], data: &[u8]) -> Result<FileInfo, Status> {
        self.put_as(self.route(), name, data).await
    }

    async fn put_as(&self, route: Option<Route>, name: &[u8], data: &[u8]) -> Result<FileInfo, Status> {
        let (name, sha256) = (name.to_vec().into(), hash(data));
        let request = PutSmallRequest { route, name, data: data.to_vec().into(), sha256 };
        Ok(self.files().put_small(request).await?.into_inner().file.unwrap())
    }

    async fn begin(&self, upload: UploadId, name: &[u8], size: usize) -> Result<u64, Status> {
        let (name, upload_id) = (name.to_vec().into(), upload.as_bytes().to_vec().into());
        let request = BeginRequest { route: self.route(), name, size: size as u64, upload_id };
        Ok(self.files().begin(request).await?.into_inner().durable_bytes)
    }

    async fn send(
        &self,
        messages: impl Stream<Item = AppendRequest> + Send + 'static,
    ) -> Result<AppendReply, Status> {
        Ok(self.files().append(messages).await?.into_inner())
    }

    /// Sends `data` from `offset` in pieces.
    async fn append(&self, upload: UploadId, offset: u64, data: &[u8], piece: usize) -> Result<u64, Status> {
        let upload_id = Bytes::from(upload.as_bytes().to_vec());
        let head = AppendRequest { route: self.route(), upload_id, offset, data: Bytes::new() };
        let pieces = data
            .chunks(piece)
            .map(|piece| AppendRequest { data: piece.to_vec().into(), ..AppendRequest::default() });
        let messages: Vec<_> = std::iter::once(head).chain(pieces).collect();
        Ok(self.send(futures::stream::iter(messages)).await?.durable_bytes)
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
        Ok(self.files().commit(request).await?.into_inner().file.unwrap())
    }

    async fn get(&self, name: &[u8], offset: u64) -> Result<(FileInfo, Vec<u8>), Status> {
        let request = GetRequest { route: self.route(), name: name.to_vec().into(), offset };
        let stream = self.files().get(request).await?.into_inner();
        let replies: Vec<_> = stream.try_collect().await?;
        let data = replies.iter().flat_map(|reply| reply.data.clone()).collect();
        assert!(replies.iter().skip(1).all(|reply| reply.file.is_none()));
        Ok((replies[0].file.clone().unwrap(), data))
    }

    async fn stat(&self, name: &[u8]) -> Result<FileInfo, Status> {
        let request = StatRequest { route: self.route(), name: name.to_vec().into() };
        Ok(self.files().stat(request).await?.into_inner())
    }

    async fn list_page(&self, prefix: &[u8], cursor: Bytes, limit: u32) -> Result<ListReply, Status> {
        let request = ListRequest { route: self.route(), prefix: prefix.to_vec().into(), cursor, limit };
        Ok(self.files().list(request).await?.into_inner())
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
        self.files().remove(request).await.map(drop)
    }

    async fn remove(&self, name: &[u8]) -> Result<(), Status> {
        self.remove_as(self.route(), name).await
    }

    async fn usage(&self) -> UsageReply {
        let request = UsageRequest { route: self.route() };
        self.files().usage(request).await.unwrap().into_inner()
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
