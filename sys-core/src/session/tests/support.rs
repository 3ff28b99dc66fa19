//! A node with sessions but without a network, its clients, and what they send.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use holdfast_certs::{CertChain, Exporter, Peer, PinnedPeers, testing::TestCluster};
use holdfast_domain::{AccountId, ClientId, ClusterId, Home, NodeId, Reason, SpiffeSubject, UnixMs};
use holdfast_keys::{ClientKey, SessionBinding, SessionOpening, SessionRequest, hash::sha256};
use holdfast_proto::session::v1::{
    ChallengeReply, ChallengeRequest, SignInReply, SignInRequest, sessions_client::SessionsClient,
    sign_in_request::Binding,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use tonic::{Code, Status, body::Body, service::Routes};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    BanList, Caller, Clock, Refusal, RuleTable,
    authn::Authenticator,
    gate::Gates,
    guard::{Guard, Guarded},
    session::{SessionSettings, Sessions, SessionsService},
    testing::TRUST_DOMAIN,
};

/// Something that clients may call.
pub(super) const CALL: &str = "/holdfast.module.v1.Capabilities/Get";
/// Something else that they may call.
pub(super) const OTHER: &str = "/holdfast.session.v1.Sessions/SignOut";
/// Something that only nodes may call.
pub(super) const NODES: &str = "/holdfast.node.v1.Peer/Readiness";

pub(super) const ORIGIN: &str = "https://app.example.com";
pub(super) const CLIENT: ClientId = ClientId::new([3; 16]);
pub(super) const ACCOUNT: AccountId = AccountId::new([2; 16]);
pub(super) const HOME: Home = Home { account: ACCOUNT, quota_bytes: 7 };
pub(super) const NODE: NodeId = NodeId::new([8; 16]);

pub(super) struct World {
    pub(super) cluster: TestCluster,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) bans: BanList,
    pub(super) node: Node,
}

/// What a connection calls.
#[derive(Clone)]
pub(super) struct Node {
    guarded: Guarded<Services>,
    pub(super) seen: Seen,
}

/// Callers and bodies that got through.
type Seen = Arc<Mutex<Vec<(Option<Caller>, Bytes)>>>;

impl World {
    pub(super) fn new() -> Self {
        let cluster = TestCluster::fresh().unwrap();
        let (clock, bans) = (Arc::new(AtomicU64::new(cluster.now.0)), BanList::new());
        let node = node(&cluster, &clock, &bans, NODE);
        Self { cluster, clock, bans, node }
    }

    /// Another node of the same cluster.
    pub(super) fn another_node(&self) -> Node {
        node(&self.cluster, &self.clock, &self.bans, NodeId::new([9; 16]))
    }

    pub(super) fn cluster_id(&self) -> ClusterId {
        self.cluster.root.certificate().cluster()
    }

    pub(super) fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn now(&self) -> UnixMs {
        UnixMs(self.clock.load(Ordering::Relaxed))
    }

    /// A client with a certificate of an hour.
    pub(super) fn client(&self) -> Client {
        let key = ClientKey::generate().unwrap();
        let chain = self.cluster.issue(SpiffeSubject::Client(CLIENT), key.public().into(), Some(HOME));
        Client { key, chain: chain.unwrap() }
    }

    pub(super) fn connection(&self, exporter: u8) -> Connection {
        connection(&self.node, exporter)
    }

    /// A web session, and its page.
    pub(super) async fn page(&self) -> Page {
        let client = self.client();
        let connection = self.connection(1);
        let session = connection.sign_in(&client, self, Wanted::Web).await.unwrap();
        Page { client, connection, session, cluster: self.cluster_id() }
    }
}

fn node(cluster: &TestCluster, clock: &Arc<AtomicU64>, bans: &BanList, id: NodeId) -> Node {
    let clock = Arc::clone(clock);
    let clock = Clock::new(move || UnixMs(clock.load(Ordering::Relaxed)));
    let settings = SessionSettings {
        cluster: cluster.root.certificate().cluster(),
        node: id,
        trust: cluster.trust(),
        web_origins: [ORIGIN.parse().unwrap()].into(),
    };
    let domain = TRUST_DOMAIN.parse().unwrap();
    let authenticator = Authenticator::new(domain, bans.clone(), PinnedPeers::none(), clock.clone());
    let sessions = Sessions::new(settings, bans.clone(), clock);
    let rules = RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS]).unwrap();
    let seen = Seen::default();
    let services = Services {
        sessions: Routes::new(SessionsService::server(sessions.clone())).prepare(),
        seen: Arc::clone(&seen),
    };
    let guard = Guard::new(rules, authenticator, Gates::default(), Some(sessions));
    Node { guarded: guard.layer(services), seen }
}

pub(super) fn connection(node: &Node, exporter: u8) -> Connection {
    let peer =
        Peer { identity: None, exporter: Exporter::new([exporter; 32]), addr: ([127, 0, 0, 1], 9).into() };
    Connection { node: node.clone(), peer, headers: HeaderMap::new() }
}

/// The sessions' own service, and a handler of everything else that remembers whom it saw. It reads its requests, and answers a stream
/// without ever ending it.
#[derive(Clone)]
struct Services {
    sessions: Routes,
    seen: Seen,
}

impl Service<Request<Body>> for Services {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (seen, mut sessions) = (Arc::clone(&self.seen), self.sessions.clone());
        Box::pin(async move {
            if request.uri().path().starts_with("/holdfast.session.v1") {
                let caller = request.extensions().get().cloned();
                seen.lock().unwrap().push((caller, Bytes::new()));
                return sessions.call(request).await;
            }
            if request.uri().path().ends_with("/Watch") {
                let endless =
                    http_body_util::StreamBody::new(futures::stream::pending::<Result<_, Status>>());
                return Ok(Response::new(Body::new(endless)));
            }
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            seen.lock().unwrap().push((parts.extensions.get().cloned(), body));
            Ok(Response::new(Body::empty()))
        })
    }
}

pub(super) struct Client {
    pub(super) key: ClientKey,
    pub(super) chain: CertChain,
}

/// A connection as the node sees it, with headers that each request gets.
#[derive(Clone)]
pub(super) struct Connection {
    node: Node,
    pub(super) peer: Peer,
    pub(super) headers: HeaderMap,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Connection,
    Web,
}

impl Connection {
    pub(super) async fn challenge(&self) -> ChallengeReply {
        SessionsClient::new(self.clone()).challenge(ChallengeRequest {}).await.unwrap().into_inner()
    }

    /// A request to sign in that is right.
    pub(super) async fn request(&self, client: &Client, world: &World, wanted: Wanted) -> SignInRequest {
        match wanted {
            Wanted::Web => self.request_for(client, world, ORIGIN).await,
            Wanted::Connection => {
                let exporter = self.peer.exporter.as_bytes();
                let binding = Binding::Connection(exporter.to_vec().into());
                self.signed(client, world, SessionBinding::Connection(exporter), binding).await
            }
        }
    }

    /// The same for pages of an origin, right or wrong.
    pub(super) async fn request_for(&self, client: &Client, world: &World, origin: &str) -> SignInRequest {
        self.signed(client, world, SessionBinding::Origin(origin), Binding::Origin(origin.to_owned())).await
    }

    async fn signed(
        &self,
        client: &Client,
        world: &World,
        bound: SessionBinding<'_>,
        binding: Binding,
    ) -> SignInRequest {
        let ChallengeReply { cluster_id, node_id, nonce, server_time_ms } = self.challenge().await;
        assert_eq!(*cluster_id, world.cluster_id().as_bytes()[..]);
        let expires = UnixMs(server_time_ms).plus_ms(3_600_000);
        let opening = SessionOpening {
            cluster: world.cluster_id(),
            node: NodeId::try_from(&*node_id).unwrap(),
            nonce: &<[u8; 32]>::try_from(&*nonce).unwrap(),
            binding: bound,
            expires,
        };
        SignInRequest {
            chain: client.chain.ders().iter().map(|der| der.clone().into()).collect(),
            nonce,
            expires_ms: expires.0,
            signature: client.key.sign_raw(&opening.message()).0.to_vec().into(),
            binding: Some(binding),
        }
    }

    pub(super) async fn send(&self, request: SignInRequest) -> Result<SignInReply, Reason> {
        let reply = SessionsClient::new(self.clone()).sign_in(request).await;
        reply
            .map(tonic::Response::into_inner)
            .map_err(|status| Refusal::from_status(&status).unwrap().reason())
    }

    pub(super) async fn sign_in(
        &self,
        client: &Client,
        world: &World,
        wanted: Wanted,
    ) -> Result<SignInReply, Reason> {
        self.send(self.request(client, world, wanted).await).await
    }

    /// With a session's secret on each request.
    pub(super) fn with(&self, secret: &[u8]) -> Self {
        self.with_header("holdfast-session", URL_SAFE_NO_PAD.encode(secret).as_bytes())
    }

    pub(super) fn with_header(&self, name: &'static str, value: &[u8]) -> Self {
        let mut with = self.clone();
        let value = HeaderValue::from_bytes(value).unwrap();
        with.headers.insert(HeaderName::from_static(name), value);
        with
    }

    /// The refusal's reason, or the caller that the handler saw.
    pub(super) async fn call(&self, path: &str, body: &[u8]) -> Result<Caller, Reason> {
        let (response, through) = self.exchange(path, body).await;
        match Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
            Some(status) => Err(Refusal::from_status(&status).unwrap().reason()),
            None => {
                let (caller, received) = through.expect("let in and not handed on");
                assert!(path == OTHER || received == body, "another body was handed on");
                Ok(caller.unwrap())
            }
        }
    }

    pub(super) async fn exchange(
        &self,
        path: &str,
        body: &[u8],
    ) -> (Response<Body>, Option<(Option<Caller>, Bytes)>) {
        self.node.seen.lock().unwrap().clear();
        let full = Full::new(Bytes::copy_from_slice(body)).map_err(|never| match never {});
        let request = Request::builder().method("POST").uri(path).body(Body::new(full)).unwrap();
        let response = self.clone().call_service(request).await;
        (response, self.node.seen.lock().unwrap().pop())
    }

    async fn call_service(mut self, request: Request<Body>) -> Response<Body> {
        match Service::call(&mut self, request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Guarded<Routes> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::poll_ready(&mut self.node.guarded, task)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        request.headers_mut().extend(self.headers.clone());
        self.node.guarded.call(request)
    }
}

/// A page in a browser, with its session.
pub(super) struct Page {
    pub(super) client: Client,
    pub(super) connection: Connection,
    pub(super) session: SignInReply,
    cluster: ClusterId,
}

impl Page {
    /// A connection whose next request is signed.
    pub(super) fn signed(&self, path: &str, body: &[u8], counter: u64) -> Connection {
        let secret: [u8; 32] = (&*self.session.session).try_into().unwrap();
        let request = SessionRequest {
            cluster: self.cluster,
            node: NODE,
            session: &sha256(&secret),
            path,
            body,
            counter,
        };
        let signature = self.client.key.sign_raw(&request.message());
        self.connection
            .with(&secret)
            .with_header("origin", ORIGIN.as_bytes())
            .with_header("holdfast-counter", counter.to_string().as_bytes())
            .with_header("holdfast-signature", URL_SAFE_NO_PAD.encode(signature.0).as_bytes())
    }

    pub(super) async fn call(&self, path: &str, body: &[u8], counter: u64) -> Result<Caller, Reason> {
        self.signed(path, body, counter).call(path, body).await
    }
}

/// One message in gRPC's framing.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], length.to_be_bytes().as_slice(), message].concat()
}

/// Who signed in, as handlers see him.
pub(super) fn caller() -> Caller {
    Caller::Client { client: CLIENT, home: HOME }
}
