//! The whole server over real TLS.

use std::{net::SocketAddr, pin::Pin, time::Duration};

use futures::Stream;
use holdfast_certs::{
    AcceptLimits, ClientAuth, Dialer, ExpectedServer, LiveIdentity, PinnedPeers, ServerTls,
    testing::TestCluster,
};
use holdfast_domain::{BanSubject, NodeId, Reason};
use holdfast_proto::registry::v1::{
    BootstrapReply, BootstrapRequest, ResolveReply, ResolveRequest, WatchEvent, WatchRequest,
    directory_client::DirectoryClient,
    directory_server::{Directory, DirectoryServer},
};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use super::*;
use crate::{
    BanList, Caller, Clock, Refusal,
    rules::{DeclareError, RuleError},
};

const SERVER: NodeId = NodeId::new([8; 16]);
const WATCHER: NodeId = NodeId::new([1; 16]);

/// Panics on Bootstrap, streams until the server stops on Watch, answers NOT_FOUND on Resolve.
struct Service(Stopping);

#[tonic::async_trait]
impl Directory for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapReply>, Status> {
        panic!("hunter2")
    }

    async fn resolve(&self, _: Request<ResolveRequest>) -> Result<Response<ResolveReply>, Status> {
        Err(Refusal::new(Reason::NotFound).into())
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        assert_eq!(Caller::of(&request)?, &Caller::Node(WATCHER));
        let first = futures::stream::iter([Ok(WatchEvent::default())]);
        let endless = futures::StreamExt::chain(first, futures::stream::pending());
        Ok(Response::new(Box::pin(self.0.ends(endless))))
    }
}

struct Running {
    cluster: TestCluster,
    addr: SocketAddr,
    bans: BanList,
    health: Health,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

async fn run(clock: Clock) -> Running {
    let cluster = TestCluster::fresh().unwrap();
    let bans = BanList::new();
    let stopping = Stopping::default();
    let server = PlatformServer::builder("test".parse().unwrap(), bans.clone(), PinnedPeers::none(), clock)
        .descriptors(holdfast_proto::DESCRIPTORS)
        .stopping(stopping.clone())
        .service(DirectoryServer::new(Service(stopping)))
        .build()
        .await
        .unwrap();
    let health = server.health().clone();
    let tls = ServerTls::new(
        cluster.registry(SERVER).unwrap(),
        cluster.trust(),
        ClientAuth::Optional,
        PinnedPeers::none(),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        server.serve(listener, tls, AcceptLimits::default(), shutdown).await
    });
    Running { cluster, addr, bans, health, stop, served }
}

impl Running {
    async fn dial(&self, identity: Option<LiveIdentity>) -> Channel {
        let dialer = Dialer::new(self.cluster.trust(), identity);
        dialer.connect(&self.addr.to_string(), &ExpectedServer::Registry(SERVER)).await.unwrap().channel
    }

    async fn directory(&self, identity: Option<LiveIdentity>) -> DirectoryClient<Channel> {
        DirectoryClient::new(self.dial(identity).await)
    }

    fn node(&self) -> Option<LiveIdentity> {
        Some(self.cluster.node(WATCHER).unwrap())
    }
}

fn reason<T: std::fmt::Debug>(result: Result<T, Status>) -> Reason {
    Refusal::from_status(&result.unwrap_err()).unwrap().reason()
}

#[tokio::test]
async fn an_open_stream_ends_within_two_seconds_of_a_ban() {
    let running = run(Clock::system()).await;
    let mut client = running.directory(running.node()).await;
    let mut stream = client.watch(WatchRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    running.bans.replace([BanSubject::Node(WATCHER)].into()).unwrap();
    let ended = timeout(Duration::from_secs(2), stream.message()).await.expect("the stream outlived the ban");
    assert!(ended.is_err());
    let mut client = running.directory(running.node()).await;
    assert_eq!(reason(client.watch(WatchRequest {}).await), Reason::Banned);
}

#[tokio::test]
async fn an_open_stream_ends_when_the_certificate_does() {
    let shift = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = {
        let shift = std::sync::Arc::clone(&shift);
        Clock::new(move || Clock::system().now().plus_ms(shift.load(std::sync::atomic::Ordering::Relaxed)))
    };
    let running = run(clock).await;
    let mut client = running.directory(running.node()).await;
    let mut stream = client.watch(WatchRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    shift.store(2 * 3_600_000, std::sync::atomic::Ordering::Relaxed);
    assert!(timeout(Duration::from_secs(3), stream.message()).await.expect("the stream goes on").is_err());
}

#[tokio::test]
async fn a_panicking_handler_costs_one_call_and_not_the_connection() {
    let running = run(Clock::system()).await;
    let mut client = running.directory(running.node()).await;
    let status = client.bootstrap(BootstrapRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("hunter2"));
    assert_eq!(reason(client.resolve(ResolveRequest::default()).await), Reason::NotFound);
}

#[tokio::test]
async fn callers_without_or_with_the_wrong_identity_are_refused_with_their_reason() {
    let running = run(Clock::system()).await;
    let mut anonymous = running.directory(None).await;
    assert_eq!(reason(anonymous.watch(WatchRequest {}).await), Reason::Unauthenticated);
    let mut operator = running.directory(Some(running.cluster.operator("ann").unwrap())).await;
    assert_eq!(reason(operator.watch(WatchRequest {}).await), Reason::NotPermitted);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let running = run(Clock::system()).await;
    let mut client = running.directory(running.node()).await;
    let home = vec![0; crate::limits::MAX_MESSAGE_BYTES + 1].into();
    let status = client.resolve(ResolveRequest { home, min_map_epoch: 0 }).await.unwrap_err();
    assert_ne!(Refusal::from_status(&status).map(|refusal| refusal.reason()).ok(), Some(Reason::NotFound));
}

#[tokio::test]
async fn services_that_are_not_served_are_unimplemented() {
    let running = run(Clock::system()).await;
    let channel = running.dial(running.node()).await;
    let mut clients = holdfast_proto::registry::v1::clients_client::ClientsClient::new(channel);
    let status = clients.renew(holdfast_proto::registry::v1::RenewRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_is_for_everybody_and_says_serving_only_when_ready() {
    let running = run(Clock::system()).await;
    let mut client = HealthClient::new(running.dial(None).await);
    let check = HealthCheckRequest::default();
    let status = client.check(check.clone()).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::NotServing);
    running.health.ready().await;
    let status = client.check(check).await.unwrap().into_inner().status();
    assert_eq!(status, ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_is_for_operators() {
    let running = run(Clock::system()).await;
    let request = || {
        let list = MessageRequest::ListServices(String::new());
        futures::stream::iter([ServerReflectionRequest { message_request: Some(list), ..Default::default() }])
    };
    let mut node = ServerReflectionClient::new(running.dial(running.node()).await);
    assert_eq!(reason(node.server_reflection_info(request()).await), Reason::NotPermitted);
    let operator = running.dial(Some(running.cluster.operator("ann").unwrap())).await;
    let mut replies =
        ServerReflectionClient::new(operator).server_reflection_info(request()).await.unwrap().into_inner();
    let reply = format!("{:?}", replies.message().await.unwrap().unwrap());
    assert!(reply.contains("holdfast.registry.v1.Directory"));
    assert!(!reply.contains("holdfast.registry.v1.Clients"), "it tells of services that are not served");
}

#[tokio::test]
async fn a_stopped_server_drains_and_ends() {
    let running = run(Clock::system()).await;
    let mut client = running.directory(running.node()).await;
    assert_eq!(reason(client.resolve(ResolveRequest::default()).await), Reason::NotFound);
    drop(client);
    running.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), running.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn endless_streams_do_not_hold_a_stopping_server() {
    let running = run(Clock::system()).await;
    let mut client = running.directory(running.node()).await;
    let mut stream = client.watch(WatchRequest {}).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let mut health = HealthClient::new(running.dial(None).await);
    let mut healths = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(healths.message().await.unwrap().is_some());
    let began = std::time::Instant::now();
    running.stop.send(()).unwrap();
    assert!(stream.message().await.unwrap().is_none(), "an orderly end");
    timeout(Duration::from_secs(5), running.served).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Why a server with a Directory and these descriptors does not start.
async fn refusal_to_start(sets: &[&'static [u8]]) -> Option<RuleError> {
    let pinned = PinnedPeers::none();
    let builder = PlatformServer::builder("test".parse().unwrap(), BanList::new(), pinned, Clock::system())
        .service(DirectoryServer::new(Service(Stopping::default())));
    match sets.iter().fold(builder, |builder, set| builder.descriptors(set)).build().await.err()? {
        StartError::Rules(error) => Some(error),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_server_whose_service_has_no_rules_does_not_start() {
    let refused = refusal_to_start(&[]).await;
    assert!(matches!(refused, Some(RuleError::Declared(DeclareError::Empty))), "{refused:?}");
}

#[tokio::test]
async fn a_server_with_descriptors_that_lost_their_options_does_not_start() {
    let whole = holdfast_proto::DESCRIPTORS;
    assert!(refusal_to_start(&[whole]).await.is_none());
    let lossy = Box::leak(crate::rules::tests::lossy(whole).into_boxed_slice());
    let refused = refusal_to_start(&[lossy]).await;
    assert!(matches!(refused, Some(RuleError::Declared(DeclareError::Undeclared(_)))), "{refused:?}");
}
