//! A Files service that keeps nothing: what calls over our TLS cost at least, bare or behind the whole request layer.

mod by_hand;
mod home;
mod process;
mod server;
mod stub;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use holdfast_certs::{Dialer, ExpectedServer, testing::TestCluster};
use holdfast_domain::{AccountId, ClientId, Home, NodeId};
use holdfast_files_api::v1::{
    AppendRequest, GetRequest, PutSmallRequest, StatRequest, files_client::FilesClient,
};
use holdfast_keys::ClientKey;
use holdfast_proto::module::v1::Route;
use tonic::transport::Channel;

pub(crate) use process::EchoProcess;
pub(crate) use server::{Layer, Server, serve_alone};

const SERVER: NodeId = NodeId::new([8; 16]);

/// Largest message that the stub sends or takes.
const MAX_MESSAGE: usize = 4 << 20;

/// Bytes of one message of a transfer, as in a real one.
pub(crate) const CHUNK: usize = 256 * 1024;

/// A cluster's certificates in memory.
pub(crate) fn cluster() -> anyhow::Result<TestCluster> {
    TestCluster::fresh().map_err(|error| anyhow!("making certificates: {error}"))
}

/// A caller with a client's certificate over one connection.
#[derive(Clone)]
pub(crate) struct Caller {
    files: FilesClient<Channel>,
}

impl Caller {
    /// Connects.
    pub(crate) async fn connect(cluster: &TestCluster, address: &str) -> anyhow::Result<Self> {
        let key = Arc::new(ClientKey::generate().context("making a client's key")?);
        let home = Home { account: AccountId::new([2; 16]), quota_bytes: 1 };
        let identity = cluster
            .client(ClientId::new([1; 16]), home, key)
            .map_err(|error| anyhow!("issuing a client's certificate: {error}"))?;
        let dialer = Dialer::new(cluster.trust(), Some(identity));
        let dialed = dialer.connect(address, &ExpectedServer::Node(SERVER)).await?;
        let files = FilesClient::new(dialed.channel).max_decoding_message_size(MAX_MESSAGE);
        Ok(Self { files })
    }

    /// A call with `data`, answered with a few bytes.
    pub(crate) async fn put_small(&self, data: Bytes) -> anyhow::Result<()> {
        let request = PutSmallRequest {
            route: Some(route(0)),
            name: Bytes::from_static(b"folder/name"),
            data,
            sha256: Bytes::from_static(&[0; 32]),
        };
        self.files.clone().put_small(request).await.context("an echoed call")?;
        Ok(())
    }

    /// A small call, answered with `bytes` bytes.
    pub(crate) async fn answered_with(&self, bytes: u64) -> anyhow::Result<()> {
        let request = StatRequest { route: Some(route(bytes)), name: Bytes::new() };
        self.files.clone().stat(request).await.context("an echoed call")?;
        Ok(())
    }

    /// Streams `count` chunks there.
    pub(crate) async fn send(&self, count: usize) -> anyhow::Result<()> {
        let chunk = Bytes::from(vec![7; CHUNK]);
        let message = AppendRequest { data: chunk, ..AppendRequest::default() };
        let messages = tokio_stream::iter(std::iter::repeat_n(message, count));
        self.files.clone().append(messages).await.context("a stream to the echo")?;
        Ok(())
    }

    /// Streams `count` chunks back.
    pub(crate) async fn receive(&self, count: u64) -> anyhow::Result<()> {
        let request = GetRequest { route: Some(route(count)), name: Bytes::new(), offset: 0 };
        let reply = self.files.clone().get(request).await.context("a stream from the echo")?;
        let mut messages = reply.into_inner();
        while messages.message().await.context("a stream from the echo")?.is_some() {}
        Ok(())
    }
}

/// The map epoch carries what the stub is asked for.
fn route(wanted: u64) -> Route {
    Route {
        map_epoch: wanted,
        group: 1,
        command_id: Bytes::from_static(&[3; 16]),
        home: None,
        max_staleness_ms: 0,
    }
}
