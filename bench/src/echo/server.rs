//! The two servers, each on a thread of its own, so that its CPU time can be told from its callers'.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use holdfast_certs::{
    AcceptLimits, ClientAuth, Connections, PinnedPeers, ServerTls, incoming, testing::TestCluster,
};
use holdfast_files_api::v1::files_server::FilesServer;
use holdfast_sys_core::{
    BanList, Clock, PlatformServer,
    gate::{Gated, OwnHomes},
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::{mpsc, oneshot},
};

use super::{MAX_MESSAGE, SERVER, by_hand::ByHand, cluster, home::Nowhere, stub::Stub};
use crate::{measure::cpu, output};

/// What is between the connection and the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// tonic alone.
    Bare,
    /// tonic, and checks in the handler.
    ByHand,
    /// The platform's whole request layer.
    Platform,
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    cpu: Option<mpsc::Sender<oneshot::Sender<Duration>>>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Server {
    /// Starts one on a free port of the loopback interface.
    pub(crate) fn start(cluster: &TestCluster, layer: Layer) -> anyhow::Result<Self> {
        let tls = tls(cluster)?;
        let runtime = Builder::new_current_thread().enable_all().build().context("a runtime")?;
        let listener = listen(&runtime)?;
        let address = listener.local_addr().context("the listener's address")?;
        let (cpu, asked) = mpsc::channel(1);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    served = serve(listener, tls, layer) => served,
                    () = answer(asked) => Ok(()),
                }
            })
        });
        Ok(Self { address, cpu: Some(cpu), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// CPU time of its thread so far.
    pub(crate) async fn cpu(&self) -> anyhow::Result<Duration> {
        let (reply, answer) = oneshot::channel();
        let asking = self.cpu.as_ref().context("the server ended")?;
        asking.send(reply).await.context("the server ended")?;
        answer.await.context("the server ended")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.cpu.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Serves as a process of its own until it is killed; says `serving` once it does.
pub(crate) fn serve_alone() -> anyhow::Result<()> {
    let tls = tls(&cluster()?)?;
    let runtime = Builder::new_multi_thread().enable_all().build().context("a runtime")?;
    let listener = listen(&runtime)?;
    output::print("serving")?;
    runtime.block_on(serve(listener, tls, Layer::Bare))
}

fn tls(cluster: &TestCluster) -> anyhow::Result<ServerTls> {
    let identity = cluster.node(SERVER).map_err(|error| anyhow!("issuing a node's certificate: {error}"))?;
    Ok(ServerTls::new(identity, cluster.trust(), ClientAuth::Optional, PinnedPeers::none())?)
}

fn listen(runtime: &Runtime) -> anyhow::Result<TcpListener> {
    runtime
        .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .context("listening on the loopback interface")
}

/// Answers until nobody can ask any more.
async fn answer(mut asked: mpsc::Receiver<oneshot::Sender<Duration>>) {
    while let Some(reply) = asked.recv().await {
        let _ = reply.send(cpu::thread());
    }
}

async fn serve(listener: TcpListener, tls: ServerTls, layer: Layer) -> anyhow::Result<()> {
    let checks = (layer == Layer::ByHand).then(ByHand::new);
    let service = FilesServer::new(Stub::new(checks)).max_decoding_message_size(MAX_MESSAGE);
    match layer {
        Layer::Bare | Layer::ByHand => {
            let incoming = incoming(listener, tls, Connections::new(), AcceptLimits::default());
            let mut server = tonic::transport::Server::builder()
                .initial_stream_window_size(holdfast_certs::limits::STREAM_WINDOW)
                .initial_connection_window_size(holdfast_certs::limits::CONNECTION_WINDOW);
            Ok(server.add_service(service).serve_with_incoming(incoming).await?)
        }
        Layer::Platform => {
            let trust_domain = "test".parse().context("trust domain")?;
            let clock = Clock::system();
            let server = PlatformServer::builder(trust_domain, BanList::new(), PinnedPeers::none(), clock)
                .descriptors(holdfast_files_api::DESCRIPTORS)
                .service(service)
                .module(Gated {
                    module: "files",
                    policies: holdfast_files::POLICIES,
                    host: Arc::new(Nowhere),
                    standings: Arc::new(OwnHomes),
                })
                .build()
                .await?;
            server.health().ready().await;
            Ok(server.serve(listener, tls, AcceptLimits::default(), std::future::pending()).await?)
        }
    }
}
