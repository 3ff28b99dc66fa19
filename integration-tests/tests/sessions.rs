//! Sessions on real processes: a client without a certificate on its connection, as a browser is one, and those who would like to be it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    future::{Future, poll_fn},
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::{
    Client, Error,
    credential::ClientCredential,
    map::Replica,
    session::{Bound, Session},
};
use holdfast_domain::{NodeId, Reason, Sha256Hash, UnixMs};
use holdfast_files_api::v1::{
    AppendRequest, BeginRequest, GetRequest, ListRequest, PutSmallRequest, files_client::FilesClient,
};
use holdfast_integration_tests::{
    adversary::reason,
    cluster::{Account, Cluster, Server},
};
use holdfast_keys::{SessionBinding, SessionOpening, SessionRequest, hash::sha256, random_array};
use holdfast_proto::{
    module::v1::Route,
    session::v1::{
        ChallengeRequest, SignInRequest, sessions_client::SessionsClient, sign_in_request::Binding,
    },
};
use http::{HeaderMap, HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use prost::Message;
use tempfile::tempdir;
use tonic::{Code, Status, body::Body, transport::Channel};
use tower_service::Service as _;

const PATIENCE: Duration = Duration::from_secs(10);
const ORIGIN: &str = "https://app.example.com";

/// A cluster whose nodes know one web origin, with one group each.
fn cluster(dir: &Path, nodes: usize) -> (Cluster, Account) {
    let (mut cluster, ann) = Cluster::with_account(dir, nodes, u32::try_from(nodes).unwrap()).unwrap();
    for node in &mut cluster.nodes {
        node.configure(&format!("web_origins = [\"{ORIGIN}\"]\n")).unwrap();
        node.stop().unwrap();
        node.start_and_wait().unwrap();
    }
    (cluster, ann)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn replica(cluster: &Cluster, node: usize) -> Replica {
    let server = &cluster.nodes[node];
    Replica { node: server.node.clone().unwrap().parse().unwrap(), address: server.address() }
}

/// The node that serves a client's own home, and what a request says of the way there.
async fn home(client: &Client) -> (Replica, Route) {
    let found = client.resolve().await.unwrap();
    let command_id = Bytes::copy_from_slice(&random_array::<16>().unwrap());
    let route =
        Route { map_epoch: found.epoch.0, group: found.group.0, command_id, home: None, max_staleness_ms: 0 };
    (found.replicas[0].clone(), route)
}

fn small(route: Route, name: &'static str, data: &'static [u8]) -> PutSmallRequest {
    PutSmallRequest {
        route: Some(route),
        name: Bytes::from_static(name.as_bytes()),
        data: Bytes::from_static(data),
        sha256: Bytes::copy_from_slice(Sha256Hash::of(data).as_bytes()),
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, expected: Reason) {
    assert_eq!(reason(&answer.unwrap_err()), expected.code());
}

/// Names of the files in a client's own home.
async fn names(client: &Client, session: &Session) -> Vec<String> {
    let request = ListRequest { route: Some(home(client).await.1), ..ListRequest::default() };
    let reply = FilesClient::new(session.channel()).list(request).await.unwrap().into_inner();
    reply.files.iter().map(|file| String::from_utf8(file.name.to_vec()).unwrap()).collect()
}

#[test]
fn a_client_without_a_certificate_on_its_connection_signs_in_works_and_signs_out() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = cluster(dir.path(), 1);
    let client = cluster.client(&ann, PATIENCE).unwrap();
    block_on(async {
        for (bound, name) in [(Bound::Connection, "native"), (Bound::Origin(ORIGIN.to_owned()), "page")] {
            let session = client.session(bound).await.unwrap();
            let mut files = FilesClient::new(session.channel());
            files.put_small(small(home(&client).await.1, name, b"of ann")).await.unwrap();
            assert!(names(&client, &session).await.contains(&name.to_owned()));
            let request = GetRequest {
                route: Some(home(&client).await.1),
                name: Bytes::from_static(name.as_bytes()),
                offset: 0,
            };
            let mut replies = files.get(request).await.unwrap().into_inner();
            let mut content = Vec::new();
            while let Some(reply) = replies.message().await.unwrap() {
                content.extend_from_slice(&reply.data);
            }
            assert_eq!(content, b"of ann");
            // At once, out of order: a page does that.
            let calls = (0..32).map(|_| names(&client, &session));
            futures::future::join_all(calls).await;
            let first = session.expires().await.unwrap();
            session.renew().await.unwrap();
            assert!(session.expires().await.unwrap() >= first);
            assert!(!names(&client, &session).await.is_empty(), "in the new one");
            session.sign_out().await.unwrap();
        }
        uploads(&client).await;
        let foreign = client.session(Bound::Origin("https://evil.example.com".to_owned())).await;
        match foreign.map(|_| ()).unwrap_err() {
            Error::Refused { reason, .. } => assert_eq!(reason, Reason::NotPermitted),
            other => panic!("{other:?}"),
        }
    });
}

/// Streams go up over the connection that was signed, and not from a page, whose requests are signed whole.
async fn uploads(client: &Client) {
    let native = client.session(Bound::Connection).await.unwrap();
    let page = client.session(Bound::Origin(ORIGIN.to_owned())).await.unwrap();
    for (session, fine) in [(&native, true), (&page, false)] {
        let mut files = FilesClient::new(session.channel());
        let (_, route) = home(client).await;
        let upload_id = Bytes::copy_from_slice(&random_array::<16>().unwrap());
        let begin = BeginRequest {
            route: Some(route.clone()),
            name: Bytes::from_static(b"large"),
            size: 20,
            upload_id: upload_id.clone(),
        };
        files.begin(begin).await.unwrap();
        let part = |offset| AppendRequest {
            route: (offset == 0).then(|| route.clone()),
            upload_id: upload_id.clone(),
            offset,
            data: Bytes::from_static(b"0123456789"),
        };
        let sent = files.append(futures::stream::iter([part(0), part(10)])).await;
        match fine {
            true => assert_eq!(sent.unwrap().into_inner().durable_bytes, 20),
            false => refused(sent, Reason::Malformed),
        }
    }
}

#[test]
fn a_ban_ends_a_session_within_two_seconds() {
    let dir = tempdir().unwrap();
    let (cluster, ann) = cluster(dir.path(), 1);
    let client = cluster.client(&ann, PATIENCE).unwrap();
    block_on(async {
        let session = client.session(Bound::Origin(ORIGIN.to_owned())).await.unwrap();
        assert!(names(&client, &session).await.is_empty());
        let (_, route) = home(&client).await;
        cluster.holdfast().ok(["node", "ban", &format!("account:{}", ann.id)]).unwrap();
        let began = Instant::now();
        loop {
            let request = ListRequest { route: Some(route.clone()), ..ListRequest::default() };
            match FilesClient::new(session.channel()).list(request).await {
                Ok(_) => assert!(began.elapsed() < Duration::from_secs(2), "the session goes on"),
                Err(status) => break assert_eq!(reason(&status), Reason::Banned.code()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(session.renew().await.is_err(), "and there is no other");
    });
}

/// A browser's page as an attacker on its machine would use it: it signs what it likes and sends what it likes.
struct Page {
    credential: ClientCredential,
    channel: Channel,
    node: NodeId,
    secret: [u8; 32],
}

impl Page {
    async fn open(cluster: &Cluster, account: &Account, at: &Replica) -> Self {
        let pin = cluster.founded().unwrap().root().unwrap();
        let credential = ClientCredential::open(&cluster.credential_of(&account.context), Some(pin)).unwrap();
        let dialer = Dialer::new(credential.trust().live(), None);
        let dialed = dialer.connect(&at.address, &ExpectedServer::Node(at.node)).await.unwrap();
        let mut page = Self { credential, channel: dialed.channel, node: at.node, secret: [0; 32] };
        let request = page.sign_in(ORIGIN).await;
        let reply = SessionsClient::new(page.channel.clone()).sign_in(request).await.unwrap().into_inner();
        page.secret = (&*reply.session).try_into().unwrap();
        page
    }

    async fn sign_in(&self, origin: &str) -> SignInRequest {
        let mut sessions = SessionsClient::new(self.channel.clone());
        let challenge = sessions.challenge(ChallengeRequest {}).await.unwrap().into_inner();
        let expires = UnixMs(challenge.server_time_ms).plus_ms(60_000);
        let opening = SessionOpening {
            cluster: self.credential.trust().cluster(),
            node: self.node,
            nonce: &(&*challenge.nonce).try_into().unwrap(),
            binding: SessionBinding::Origin(origin),
            expires,
        };
        let identity = self.credential.checked_identity().unwrap();
        SignInRequest {
            chain: identity.chain().ders().iter().map(|der| der.clone().into()).collect(),
            nonce: challenge.nonce,
            expires_ms: expires.0,
            signature: self.credential.key().sign_raw(&opening.message()).0.to_vec().into(),
            binding: Some(Binding::Origin(origin.to_owned())),
        }
    }

    /// The headers of a request that is right.
    fn signed(&self, path: &str, body: &[u8], counter: u64) -> HeaderMap {
        let request = SessionRequest {
            cluster: self.credential.trust().cluster(),
            node: self.node,
            session: &sha256(&self.secret),
            path,
            body,
            counter,
        };
        let signature = self.credential.key().sign_raw(&request.message());
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: String| {
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        };
        set("content-type", "application/grpc".to_owned());
        set("te", "trailers".to_owned());
        set("origin", ORIGIN.to_owned());
        set("holdfast-session", base64url(&self.secret));
        set("holdfast-counter", counter.to_string());
        set("holdfast-signature", base64url(&signature.0));
        headers
    }
}

/// The refusal's reason; none when it was let in.
async fn send(channel: &Channel, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let full = Full::new(Bytes::copy_from_slice(body)).map_err(|never| match never {});
    let mut request = Request::builder().method("POST").uri(path).body(Body::new(full)).unwrap();
    *request.headers_mut() = headers.clone();
    let mut channel = channel.clone();
    poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = channel.call(request).await.unwrap();
    let status = Status::from_header_map(response.headers());
    status.filter(|status| status.code() != Code::Ok).map(|status| reason(&status))
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let sextet = |bits: &[u8]| {
        let text = format!("{:0<6}", std::str::from_utf8(bits).unwrap());
        char::from(ALPHABET[usize::from_str_radix(&text, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(sextet).collect()
}

fn framed(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0], u32::try_from(bytes.len()).unwrap().to_be_bytes().as_slice(), &bytes].concat()
}

const LIST: &str = "/holdfast.files.v1.Files/List";
const PUT: &str = "/holdfast.files.v1.Files/PutSmall";

/// Refusals that a node's log has recorded, of calls from outside.
fn denials(cluster: &Cluster, reason: &str) -> usize {
    let text = cluster.nodes.iter().map(Server::log_since_start).collect::<String>();
    text.lines().filter(|line| line.contains("\"deny\"") && line.contains(&format!("\"{reason}\""))).count()
}

#[test]
fn what_is_changed_replayed_or_carried_elsewhere_is_refused_and_recorded_once() {
    let dir = tempdir().unwrap();
    let (mut cluster, ann) = cluster(dir.path(), 2);
    let client = cluster.client(&ann, PATIENCE).unwrap();
    block_on(async {
        let (at, route) = home(&client).await;
        let page = Page::open(&cluster, &ann, &at).await;
        let put = framed(&small(route.clone(), "kept", b"as signed"));
        let list = framed(&ListRequest { route: Some(route.clone()), ..ListRequest::default() });
        let good = page.signed(PUT, &put, 70);
        assert_eq!(send(&page.channel, PUT, &good, &put).await, None);
        let with = |name: &'static str, value: &[u8]| {
            let mut headers = page.signed(LIST, &list, 71);
            headers.insert(name, HeaderValue::from_bytes(value).unwrap());
            headers
        };
        let mut tampered = put.clone();
        *tampered.last_mut().unwrap() ^= 1;
        let fresh = page.signed(LIST, &list, 71);
        let long = [b'A'; 6_000];
        type Case<'a> = (&'a str, HeaderMap, &'a str, &'a [u8], Reason);
        let cases: [Case<'_>; 15] = [
            ("replayed", good.clone(), PUT, &put, Reason::SessionReplayed),
            ("counter behind", page.signed(LIST, &list, 6), LIST, &list, Reason::SessionReplayed),
            ("body tampered", page.signed(PUT, &put, 71), PUT, &tampered, Reason::SessionSignature),
            ("method changed", fresh.clone(), PUT, &list, Reason::SessionSignature),
            ("counter changed", with("holdfast-counter", b"72"), LIST, &list, Reason::SessionSignature),
            ("counter no number", with("holdfast-counter", b"0x47"), LIST, &list, Reason::Malformed),
            (
                "origin changed",
                with("origin", b"https://evil.example.com"),
                LIST,
                &list,
                Reason::SessionUnknown,
            ),
            ("session over-long", with("holdfast-session", &long), LIST, &list, Reason::SessionUnknown),
            ("session not UTF-8", with("holdfast-session", b"\xff\xfe"), LIST, &list, Reason::SessionUnknown),
            ("session empty", with("holdfast-session", b""), LIST, &list, Reason::SessionUnknown),
            ("signature no base64", with("holdfast-signature", b"!!!"), LIST, &list, Reason::Malformed),
            ("other case", fresh.clone(), "/holdfast.files.v1.files/list", &list, Reason::UnknownMethod),
            ("double slash", fresh.clone(), "//holdfast.files.v1.Files/List", &list, Reason::UnknownMethod),
            ("unknown method", fresh.clone(), "/holdfast.files.v1.Files/Wipe", &list, Reason::UnknownMethod),
            ("no route", page.signed(LIST, b"\0\0\0\0\0", 71), LIST, b"\0\0\0\0\0", Reason::Malformed),
        ];
        for (name, headers, path, body, expected) in cases {
            let before = denials(&cluster, expected.code());
            let said = send(&page.channel, path, &headers, body).await;
            assert_eq!(said.as_deref(), Some(expected.code()), "{name}");
            assert_eq!(denials(&cluster, expected.code()), before + 1, "{name} is one event");
        }
        assert_eq!(send(&page.channel, LIST, &page.signed(LIST, &list, 72), &list).await, None, "it goes on");

        // At the other node, by the same client: the session is unknown there, and its requests are not signed for it.
        let other =
            [replica(&cluster, 0), replica(&cluster, 1)].into_iter().find(|other| *other != at).unwrap();
        let there = Page::open(&cluster, &ann, &other).await;
        let carried = page.signed(LIST, &list, 73);
        let said = send(&there.channel, LIST, &carried, &list).await;
        assert_eq!(said.as_deref(), Some(Reason::SessionUnknown.code()));
        let mut renamed = carried;
        renamed.insert("holdfast-session", HeaderValue::from_str(&base64url(&there.secret)).unwrap());
        let said = send(&there.channel, LIST, &renamed, &list).await;
        assert_eq!(said.as_deref(), Some(Reason::SessionSignature.code()));

        // On a connection with a certificate.
        let identity = LiveIdentity::new(page.credential.checked_identity().unwrap());
        let dialer = Dialer::new(page.credential.trust().live(), Some(identity));
        let certified = dialer.connect(&at.address, &ExpectedServer::Node(at.node)).await.unwrap();
        let headers = page.signed(LIST, &list, 74);
        let said = send(&certified.channel, LIST, &headers, &list).await;
        assert_eq!(said.as_deref(), Some(Reason::Malformed.code()));

        // A sign-in twice, and for an origin that nobody configured.
        let mut sessions = SessionsClient::new(page.channel.clone());
        let request = page.sign_in(ORIGIN).await;
        sessions.sign_in(request.clone()).await.unwrap();
        refused(sessions.sign_in(request).await, Reason::ChallengeUnknown);
        refused(sessions.sign_in(page.sign_in("https://evil.example.com").await).await, Reason::NotPermitted);
    });
    cluster.expect_all_running().unwrap();
}

#[test]
fn a_session_does_not_outlive_its_node() {
    let dir = tempdir().unwrap();
    let (mut cluster, ann) = cluster(dir.path(), 1);
    let client = cluster.client(&ann, PATIENCE).unwrap();
    let (page, list) = block_on(async {
        let (at, route) = home(&client).await;
        let list = framed(&ListRequest { route: Some(route), ..ListRequest::default() });
        let page = Page::open(&cluster, &ann, &at).await;
        assert_eq!(send(&page.channel, LIST, &page.signed(LIST, &list, 1), &list).await, None);
        (page, list)
    });
    let node = cluster.node(0).unwrap();
    node.stop().unwrap();
    node.start_and_wait().unwrap();
    block_on(async {
        let (at, _) = home(&client).await;
        let dialer = Dialer::new(page.credential.trust().live(), None);
        let again = dialer.connect(&at.address, &ExpectedServer::Node(at.node)).await.unwrap();
        let said = send(&again.channel, LIST, &page.signed(LIST, &list, 2), &list).await;
        assert_eq!(said.as_deref(), Some(Reason::SessionUnknown.code()));
    });
}
