//! Both ends of a connection against each other, and against the openssl program.

use std::{
    collections::BTreeSet,
    pin::Pin,
    process::{Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_domain::{ClientId, ClusterId, NodeId, SpiffeSubject, UnixMs};
use holdfast_keys::{ClientKey, P256Public, SignError, Signature64, Signer, SoftSigner};
use http::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tonic::{body::Body, transport::Server};
use tower::{Service as _, ServiceExt as _};

use super::*;
use crate::{
    AcceptLimits, ClientAuth, Connections, Identity, LeafRequest, Peer, PinnedPeers, ServerTls, incoming,
    testing::TestCluster,
};

const NODE: NodeId = NodeId::new([1; 16]);
const OTHER: NodeId = NodeId::new([2; 16]);
const MONTH_MS: u64 = 30 * 24 * 3_600_000;

/// A body that begins and never ends: an open stream.
struct Open(Option<Bytes>);

impl http_body::Body for Open {
    type Data = Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, tonic::Status>>> {
        match self.0.take() {
            Some(first) => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(first)))),
            None => std::task::Poll::Pending,
        }
    }
}

/// Answers with what the server knows about its peer.
async fn answer(request: Request<Body>) -> Result<Response<Body>, std::convert::Infallible> {
    let peer: &Peer = request.extensions().get().unwrap();
    let name = peer.identity.as_ref().map_or("anonymous".to_owned(), |id| id.spiffe.subject.to_string());
    let response = Response::builder()
        .header("peer", name)
        .header("home", format!("{:?}", peer.identity.as_ref().and_then(|id| id.home)))
        .header("exporter", hex::encode(peer.exporter.as_bytes()));
    Ok(response.body(Body::new(Open(Some(Bytes::from_static(b"open"))))).unwrap())
}

struct Running {
    address: String,
    connections: Connections,
}

async fn serve(tls: ServerTls, limits: AcceptLimits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = Connections::new();
    let stream = incoming(listener, tls, connections.clone(), limits);
    tokio::spawn(Server::builder().serve_with_incoming(tower::service_fn(answer), stream));
    Running { address, connections }
}

fn server_tls(cluster: &TestCluster, identity: LiveIdentity) -> ServerTls {
    ServerTls::new(identity, cluster.trust(), ClientAuth::Optional, PinnedPeers::none()).unwrap()
}

async fn serve_node(cluster: &TestCluster) -> Running {
    serve(server_tls(cluster, cluster.node(NODE).unwrap()), AcceptLimits::default()).await
}

async fn serve_registry(cluster: &TestCluster) -> Running {
    serve(server_tls(cluster, cluster.registry(NODE).unwrap()), AcceptLimits::default()).await
}

async fn call(channel: &mut Channel) -> Result<Response<Body>, tonic::transport::Error> {
    let request = Request::builder().uri("/").body(Body::empty()).unwrap();
    channel.ready().await?.call(request).await
}

async fn peer_at_server(channel: &mut Channel) -> String {
    let response = call(channel).await.unwrap();
    response.headers()["peer"].to_str().unwrap().to_owned()
}

fn refusal(result: Result<Dialed, DialError>) -> VerifyError {
    match result {
        Err(DialError::Server { source, .. }) => source,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the server was accepted"),
    }
}

#[tokio::test]
async fn both_ends_know_each_other_and_share_the_exporter() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let dialer = Dialer::new(cluster.trust(), Some(cluster.node(OTHER).unwrap()));
    let mut dialed = dialer.connect(&server.address, &ExpectedServer::Node(NODE)).await.unwrap();
    assert_eq!(dialed.server.spiffe.subject, SpiffeSubject::Node(NODE));
    let response = call(&mut dialed.channel).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["peer"], format!("/node/{OTHER}"));
    assert_eq!(response.headers()["exporter"], hex::encode(dialed.exporter.as_bytes()));

    let second = dialer.connect(&server.address, &ExpectedServer::Node(NODE)).await.unwrap();
    assert!(second.exporter != dialed.exporter);
}

#[tokio::test]
async fn the_key_exchange_is_hybrid() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let connector =
        Dialer::new(cluster.trust(), None).connector(&server.address, &ExpectedServer::Node(NODE)).unwrap();
    let stream = connector.connect().await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn people_show_ed25519_keys_and_their_home() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let (id, home) = (
        ClientId::new([5; 16]),
        holdfast_domain::Home { account: holdfast_domain::AccountId::new([6; 16]), quota_bytes: 1 << 30 },
    );
    let key = Arc::new(ClientKey::generate().unwrap());
    let dialer = Dialer::new(cluster.trust(), Some(cluster.client(id, home, key).unwrap()));
    let mut channel = dialer.channel(&server.address, ExpectedServer::Node(NODE)).unwrap();
    let response = call(&mut channel).await.unwrap();
    assert_eq!(response.headers()["peer"], format!("/client/{id}"));
    assert_eq!(response.headers()["home"], format!("{:?}", Some(home)));
}

#[tokio::test]
async fn without_a_certificate_a_peer_is_anonymous() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let mut channel =
        Dialer::new(cluster.trust(), None).channel(&server.address, ExpectedServer::Node(NODE)).unwrap();
    assert_eq!(peer_at_server(&mut channel).await, "anonymous");
}

#[tokio::test]
async fn a_server_may_require_a_certificate() {
    let cluster = TestCluster::fresh().unwrap();
    let identity = cluster.node(NODE).unwrap();
    let tls = ServerTls::new(identity, cluster.trust(), ClientAuth::Required, PinnedPeers::none()).unwrap();
    let server = serve(tls, AcceptLimits::default()).await;
    let mut channel =
        Dialer::new(cluster.trust(), None).channel(&server.address, ExpectedServer::Node(NODE)).unwrap();
    assert!(call(&mut channel).await.is_err());
}

#[tokio::test]
async fn a_pinned_root_hash_is_enough_to_know_a_registry() {
    let cluster = TestCluster::fresh().unwrap();
    let registry = serve_registry(&cluster).await;
    let pin = cluster.bundle().root_hash();
    let dialed =
        Dialer::new(pin, None).connect(&registry.address, &ExpectedServer::AnyRegistry).await.unwrap();
    assert_eq!(dialed.root.cluster(), cluster.bundle().cluster());

    let other = TestCluster::new(ClusterId::new([9; 16]), cluster.now).unwrap();
    let dialer = Dialer::new(other.bundle().root_hash(), None);
    let refused = dialer.connect(&registry.address, &ExpectedServer::AnyRegistry).await;
    assert_eq!(refusal(refused), VerifyError::NotThePinnedRoot);
}

#[tokio::test]
async fn a_server_of_another_cluster_is_refused() {
    let (ours, theirs) = (TestCluster::fresh().unwrap(), TestCluster::fresh().unwrap());
    let server = serve_node(&theirs).await;
    let refused = Dialer::new(ours.trust(), None).connect(&server.address, &ExpectedServer::Node(NODE)).await;
    assert!(matches!(refusal(refused), VerifyError::Chain(_)));
}

#[tokio::test]
async fn a_client_of_another_cluster_is_refused() {
    let (ours, theirs) = (TestCluster::fresh().unwrap(), TestCluster::fresh().unwrap());
    let server = serve_node(&ours).await;
    let dialer = Dialer::new(ours.trust(), Some(theirs.node(OTHER).unwrap()));
    let mut channel = dialer.channel(&server.address, ExpectedServer::Node(NODE)).unwrap();
    assert!(call(&mut channel).await.is_err());
    assert!(server.connections.is_empty());
}

#[tokio::test]
async fn only_the_dialed_identity_may_answer() {
    let cluster = TestCluster::fresh().unwrap();
    let (node, registry) = (serve_node(&cluster).await, serve_registry(&cluster).await);
    let dialer = Dialer::new(cluster.trust(), None);
    for (address, expected) in [
        (&node.address, ExpectedServer::AnyRegistry),
        (&node.address, ExpectedServer::Registry(NODE)),
        (&node.address, ExpectedServer::Node(OTHER)),
        (&registry.address, ExpectedServer::Node(NODE)),
        (&registry.address, ExpectedServer::Registry(OTHER)),
        (&registry.address, ExpectedServer::Exactly(SpiffeSubject::Node(NODE))),
    ] {
        let refused = refusal(dialer.connect(address, &expected).await);
        assert!(matches!(refused, VerifyError::NotExpected { .. }), "{expected}: {refused}");
    }
}

/// A registry identity whose leaf ended a month ago, with the hash of its key.
fn expired(cluster: &TestCluster) -> (LiveIdentity, holdfast_domain::SpkiHash) {
    let key = SoftSigner::generate().unwrap();
    let request = LeafRequest {
        subject: SpiffeSubject::Registry(NODE),
        key: key.public().into(),
        now: cluster.now,
        not_after: cluster.now.plus_ms(3_600_000),
        home: None,
    };
    let chain = cluster.registry.issue(&request).unwrap();
    (LiveIdentity::new(Identity::from_soft(chain, &key).unwrap()), key.public().spki_hash())
}

fn month_old_cluster() -> TestCluster {
    let now = TestCluster::fresh().unwrap().now;
    TestCluster::new(ClusterId::new([7; 16]), UnixMs(now.0 - MONTH_MS)).unwrap()
}

#[tokio::test]
async fn voters_that_were_off_for_a_month_know_each_other_by_their_pinned_keys() {
    let cluster = month_old_cluster();
    let ((server, server_key), (client, client_key)) = (expired(&cluster), expired(&cluster));
    let pinned = PinnedPeers::new(BTreeSet::from([client_key]));
    let tls = ServerTls::new(server, cluster.trust(), ClientAuth::Required, pinned.clone()).unwrap();
    let running = serve(tls, AcceptLimits::default()).await;
    let dialer = Dialer::new(cluster.trust(), Some(client));
    let expected = ExpectedServer::PinnedRegistry { id: NODE, spki: server_key };
    let mut dialed = dialer.connect(&running.address, &expected).await.unwrap();
    assert!(dialed.server.not_after < connect::now());
    assert_eq!(peer_at_server(&mut dialed.channel).await, format!("/registry/{NODE}"));

    let unpinned = refusal(dialer.connect(&running.address, &ExpectedServer::AnyRegistry).await);
    assert!(matches!(unpinned, VerifyError::Chain(webpki::Error::CertExpired { .. })), "{unpinned}");
    let another = ExpectedServer::PinnedRegistry { id: NODE, spki: client_key };
    assert!(dialer.connect(&running.address, &another).await.is_err());
    pinned.replace(BTreeSet::new());
    let mut dialed = dialer.connect(&running.address, &expected).await.unwrap();
    assert!(call(&mut dialed.channel).await.is_err(), "the server no longer pins this voter");
}

#[tokio::test]
async fn new_connections_show_a_rotated_identity_and_old_ones_the_old() {
    let cluster = TestCluster::fresh().unwrap();
    let (server_identity, client_identity) = (cluster.node(NODE).unwrap(), cluster.node(OTHER).unwrap());
    let server = serve(server_tls(&cluster, server_identity.clone()), AcceptLimits::default()).await;
    let dialer = Dialer::new(cluster.trust(), Some(client_identity.clone()));
    let expected = ExpectedServer::Node(NODE);
    let mut before = dialer.connect(&server.address, &expected).await.unwrap();
    let renewed = cluster.identity(SpiffeSubject::Node(NODE)).unwrap();
    let serial = renewed.peer_identity().serial;
    server_identity.replace(renewed);
    client_identity.replace(cluster.identity(SpiffeSubject::Operator("ann".parse().unwrap())).unwrap());
    let mut after = dialer.connect(&server.address, &expected).await.unwrap();
    assert!(before.server.serial != serial && after.server.serial == serial);
    assert_eq!(peer_at_server(&mut before.channel).await, format!("/node/{OTHER}"));
    assert_eq!(peer_at_server(&mut after.channel).await, "/operator/ann");
}

#[tokio::test]
async fn trust_that_revokes_an_authority_holds_for_new_connections() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let trust = cluster.trust();
    let dialer = Dialer::new(trust.clone(), None);
    assert!(dialer.connect(&server.address, &ExpectedServer::Node(NODE)).await.is_ok());
    let revoked = cluster.bundle().with_revoked(BTreeSet::from([cluster.workload.spki_hash()])).unwrap();
    trust.replace(revoked).unwrap();
    let refused = dialer.connect(&server.address, &ExpectedServer::Node(NODE)).await;
    assert_eq!(refusal(refused), VerifyError::Revoked);
}

#[tokio::test]
async fn closing_an_identitys_connections_ends_its_open_streams_and_no_others() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let expected = ExpectedServer::Node(NODE);
    let dial = |identity| Dialer::new(cluster.trust(), Some(identity));
    let mut banned = dial(cluster.node(OTHER).unwrap()).connect(&server.address, &expected).await.unwrap();
    let mut kept = dial(cluster.operator("ann").unwrap()).connect(&server.address, &expected).await.unwrap();
    let mut stream = call(&mut banned.channel).await.unwrap().into_body();
    let mut other = call(&mut kept.channel).await.unwrap().into_body();
    assert_eq!(next(&mut stream).await.unwrap().unwrap(), "open");
    assert_eq!(next(&mut other).await.unwrap().unwrap(), "open");
    assert_eq!(server.connections.len(), 2);

    let closed = server.connections.close_where(|id| id.spiffe.subject == SpiffeSubject::Node(OTHER));
    assert_eq!(closed, 1);
    let ended = tokio::time::timeout(Duration::from_secs(1), next(&mut stream)).await.unwrap();
    assert!(ended.is_none_or(|frame| frame.is_err()));
    assert!(call(&mut banned.channel).await.is_err(), "one connection, and it has ended");
    let open = tokio::time::timeout(Duration::from_millis(50), next(&mut other)).await;
    assert!(open.is_err(), "the other stream is still open");
    assert_eq!(peer_at_server(&mut kept.channel).await, "/operator/ann");
    assert_eq!(server.connections.len(), 1);
}

async fn next(body: &mut Body) -> Option<Result<Bytes, tonic::Status>> {
    let frame =
        futures::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut *body), context));
    frame.await.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
}

#[tokio::test]
async fn a_lazy_channel_connects_again_after_its_connection_was_closed() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let dialer = Dialer::new(cluster.trust(), Some(cluster.node(OTHER).unwrap()));
    let mut channel = dialer.channel(&server.address, ExpectedServer::Node(NODE)).unwrap();
    assert_eq!(peer_at_server(&mut channel).await, format!("/node/{OTHER}"));
    assert_eq!(server.connections.close_all(), 1);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while call(&mut channel).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A TPM in slow motion, as busy ones are.
struct SlowSigner(SoftSigner);

impl Signer for SlowSigner {
    fn public(&self) -> P256Public {
        self.0.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature64, SignError> {
        std::thread::sleep(Duration::from_millis(1000));
        self.0.sign(message)
    }
}

#[tokio::test]
async fn a_blocking_key_authenticates_without_stopping_the_runtime() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_registry(&cluster).await;
    let signer = SlowSigner(SoftSigner::generate().unwrap());
    let chain = cluster.issue(SpiffeSubject::Node(OTHER), signer.public().into(), None).unwrap();
    let identity = LiveIdentity::new(Identity::from_signer(chain, Arc::new(signer)).unwrap());
    let dialer = Dialer::new(cluster.trust(), Some(identity));
    let mut channel = dialer.channel(&server.address, ExpectedServer::Registry(NODE)).unwrap();
    let beats = async {
        let mut worst = Duration::ZERO;
        for _ in 0..150 {
            let before = tokio::time::Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            worst = worst.max(before.elapsed());
        }
        worst
    };
    let (peer, worst) = tokio::join!(peer_at_server(&mut channel), beats);
    assert_eq!(peer, format!("/node/{OTHER}"));
    assert!(worst < Duration::from_millis(700), "the only worker stood still for {worst:?}");
}

#[tokio::test]
async fn a_certificate_is_of_use_only_with_its_key() {
    let cluster = TestCluster::fresh().unwrap();
    let (key, thief) = (SoftSigner::generate().unwrap(), SoftSigner::generate().unwrap());
    let chain = cluster.issue(SpiffeSubject::Node(NODE), key.public().into(), None).unwrap();
    assert!(matches!(Identity::from_soft(chain, &thief), Err(crate::IdentityError::KeyMismatch)));
}

#[tokio::test]
async fn a_silent_client_loses_its_slot_when_the_handshake_times_out() {
    let cluster = TestCluster::fresh().unwrap();
    let limits = AcceptLimits {
        handshake_timeout: Duration::from_secs(1),
        max_handshakes_per_address: 1,
        ..AcceptLimits::default()
    };
    let server = serve(server_tls(&cluster, cluster.node(NODE).unwrap()), limits).await;
    let silent = tokio::net::TcpStream::connect(&server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let dialer = Dialer::new(cluster.trust(), None);
    let expected = ExpectedServer::Node(NODE);
    assert!(dialer.connect(&server.address, &expected).await.is_err(), "one handshake at a time");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(dialer.connect(&server.address, &expected).await.is_ok());
    let mut rest = [0; 1];
    assert!(matches!(silent.try_read(&mut rest), Ok(0)), "the silent one was cut off");
}

#[tokio::test]
async fn connections_of_one_address_have_a_limit() {
    let cluster = TestCluster::fresh().unwrap();
    let limits = AcceptLimits { max_connections_per_address: 1, ..AcceptLimits::default() };
    let server = serve(server_tls(&cluster, cluster.node(NODE).unwrap()), limits).await;
    let dialer = Dialer::new(cluster.trust(), None);
    let expected = ExpectedServer::Node(NODE);
    let mut first = dialer.connect(&server.address, &expected).await.unwrap();
    assert_eq!(peer_at_server(&mut first.channel).await, "anonymous");
    assert!(dialer.connect(&server.address, &expected).await.is_err());
}

#[tokio::test]
async fn the_listener_closes_with_the_stream() {
    let cluster = TestCluster::fresh().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tls = server_tls(&cluster, cluster.node(NODE).unwrap());
    let mut stream = incoming(listener, tls, Connections::new(), AcceptLimits::default());
    assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
    drop(stream);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs `openssl s_client` against a server and returns all it says.
async fn s_client(address: &str, args: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address]).args(args);
    let run = move || command.stdin(Stdio::null()).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn tls_1_2_is_refused_and_no_ticket_is_given() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let old = s_client(&server.address, &["-tls1_2", "-alpn", "h2"]).await;
    assert!(old.contains("alert protocol version"), "{old}");
    let new = s_client(&server.address, &["-tls1_3", "-alpn", "h2"]).await;
    assert!(new.contains("New, TLSv1.3") && new.contains("ALPN protocol: h2"), "{new}");
    assert!(!new.contains("Post-Handshake New Session Ticket"), "{new}");
}

#[tokio::test]
async fn no_other_protocol_than_h2_is_spoken() {
    let cluster = TestCluster::fresh().unwrap();
    let server = serve_node(&cluster).await;
    let http1 = s_client(&server.address, &["-tls1_3", "-alpn", "http/1.1"]).await;
    assert!(http1.contains("alert no application protocol"), "{http1}");
    s_client(&server.address, &["-tls1_3"]).await;
    assert!(server.connections.is_empty(), "a client that names no protocol is not served");
}
