//! Requests that no client of ours would send: each is refused with its reason and one audit event, nothing panics, and what was
//! stored stays as it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{fs, future::poll_fn, time::Duration};

use bytes::Bytes;
use holdfast_accounts_api::v1::{Grant, PutMemberRequest};
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::credential::ClientCredential;
use holdfast_files_api::v1::{ListRequest, PutSmallRequest, StatRequest};
use holdfast_integration_tests::{
    adversary::reason,
    cluster::{Account, Cluster},
    wait,
};
use holdfast_proto::module::v1::{HomeId, Route, home_id::Owner};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tempfile::tempdir;
use tonic::{Status, body::Body, transport::Channel};
use tower_service::Service as _;

const PUT_MEMBER: &str = "/holdfast.accounts.v1.Organisations/PutMember";

/// Longest value of a field that anything here sends.
const LONG: usize = 200 * 1024;

/// An account that keeps a connection to the only node.
struct Caller {
    channel: Channel,
    route: Route,
}

impl Caller {
    async fn connect(cluster: &mut Cluster, account: &Account) -> Self {
        let pin = cluster.founded().unwrap().root().unwrap();
        let credential = ClientCredential::open(&cluster.credential_of(&account.context), Some(pin)).unwrap();
        let identity = LiveIdentity::new(credential.checked_identity().unwrap());
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        let client = cluster.client(account, Duration::from_secs(10)).unwrap();
        let at = client.resolve().await.unwrap();
        let replica = &at.replicas[0];
        let channel =
            dialer.connect(&replica.address, &ExpectedServer::Node(replica.node)).await.unwrap().channel;
        let route = Route {
            map_epoch: at.epoch.0,
            group: at.group.0,
            command_id: Bytes::from_static(&[7; 16]),
            home: None,
            max_staleness_ms: 0,
        };
        Self { channel, route }
    }

    /// Sends these very bytes as the only message of a call, and tells how the answer was refused; `None` when it was not.
    async fn send(&self, path: &str, message: &[u8]) -> Option<String> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let frame = Full::new(Bytes::from([&[0], &length[..], message].concat()));
        let request = http::Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(frame.map_err(|never| match never {})))
            .unwrap();
        let mut channel = self.channel.clone();
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let response = channel.call(request).await.unwrap();
        if let Some(status) = Status::from_header_map(response.headers()) {
            return (status.code() != tonic::Code::Ok).then(|| reason(&status));
        }
        let trailers = response.into_body().collect().await.unwrap().trailers().cloned();
        let status = Status::from_header_map(&trailers.unwrap()).unwrap();
        (status.code() != tonic::Code::Ok).then(|| reason(&status))
    }

    fn stat(&self, name: &[u8]) -> Vec<u8> {
        StatRequest { route: Some(self.route.clone()), name: Bytes::copy_from_slice(name) }.encode_to_vec()
    }

    fn list(&self, cursor: &[u8]) -> Vec<u8> {
        let cursor = Bytes::copy_from_slice(cursor);
        ListRequest { route: Some(self.route.clone()), cursor, ..ListRequest::default() }.encode_to_vec()
    }

    fn at_home_of(&self, owner: Owner) -> Vec<u8> {
        let route = Route { home: Some(HomeId { owner: Some(owner) }), ..self.route.clone() };
        ListRequest { route: Some(route), ..ListRequest::default() }.encode_to_vec()
    }

    fn grant(&self, organisation: [u8; 16], scope: &str, role: i32) -> Vec<u8> {
        let home = HomeId { owner: Some(Owner::Organisation(organisation.to_vec().into())) };
        let route = Route { home: Some(home), ..self.route.clone() };
        let grants = vec![Grant { scope: scope.to_owned(), role }];
        let account = vec![5; 16].into();
        PutMemberRequest { route: Some(route), account, grants }.encode_to_vec()
    }
}

/// A field of length-delimited bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    prost::encoding::encode_varint(u64::try_from(bytes.len()).unwrap(), &mut message);
    message.extend_from_slice(bytes);
    message
}

/// Messages within messages, as deep as this.
fn nested(depth: usize) -> Vec<u8> {
    let mut message = Vec::new();
    for _ in 0..depth {
        message = field(15, &message);
        if message.len() > LONG {
            break;
        }
    }
    message
}

#[test]
fn what_no_client_would_send_is_refused_with_its_reason_and_one_audit_event() {
    let dir = tempdir().unwrap();
    let (mut cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
    let file = dir.path().join("diary");
    fs::write(&file, b"dear diary").unwrap();
    ann.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", "diary"]).unwrap();
    let organisation = ann.holdfast().json(["org", "create", "Acme"]).unwrap();
    let id: [u8; 16] =
        hex::decode(organisation["organisation"]["id"].as_str().unwrap()).unwrap().try_into().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let caller = Caller::connect(&mut cluster, &ann).await;
        let route = field(1, &caller.route.encode_to_vec());
        let [stat, list, put, lists, tail, query] =
            ["Stat", "List", "PutSmall", "Lists", "List/", "List?x=1"]
                .map(|method| format!("/holdfast.files.v1.Files/{method}"));
        let long = format!("/{}", "x".repeat(8000));
        let groups = [&route[..], &[0x7b].repeat(10_000)].concat();
        let deep = [&route[..], &nested(10_000)].concat();
        let half = &caller.stat(b"diary")[..9];
        let wide = PutSmallRequest {
            route: Some(caller.route.clone()),
            name: vec![b'x'; 4097].into(),
            ..PutSmallRequest::default()
        };
        let not_utf8 = {
            let good = caller.grant(id, "organisation", 1);
            let at = good.windows(12).position(|seen| seen == b"organisation").unwrap();
            [&good[..at], &[0xff, 0xfe], &good[at + 2..]].concat()
        };
        let cases: Vec<(&str, &str, Vec<u8>, &str)> = vec![
            ("an empty message", &stat, vec![], "malformed"),
            ("bytes that are no message", &stat, vec![0xff; 64], "malformed"),
            ("a message that breaks off", &stat, half.to_vec(), "malformed"),
            ("groups 10,000 deep", &stat, groups, "malformed"),
            ("a route of the wrong type", &stat, vec![0x08, 1], "malformed"),
            ("a home of nobody", &list, caller.at_home_of(Owner::Account(Bytes::new())), "malformed"),
            (
                "a home with a short id",
                &list,
                caller.at_home_of(Owner::Organisation(vec![1; 15].into())),
                "malformed",
            ),
            (
                "a home with a long id",
                &list,
                caller.at_home_of(Owner::Account(vec![1; LONG].into())),
                "malformed",
            ),
            ("a name that is too long", &stat, caller.stat(&[b'x'; 4097]), "malformed"),
            ("a new name that is too long", &put, wide.encode_to_vec(), "malformed"),
            ("no name", &stat, caller.stat(b""), "malformed"),
            ("a forged cursor", &list, caller.list(&[9; 80]), "malformed"),
            ("a cursor that is too long", &list, caller.list(&vec![9; LONG]), "malformed"),
            ("a role that is none", PUT_MEMBER, caller.grant(id, "organisation", 0), "malformed"),
            ("a role that nobody knows", PUT_MEMBER, caller.grant(id, "organisation", 77), "malformed"),
            ("a role that nobody gives", PUT_MEMBER, caller.grant(id, "organisation", 4), "not_permitted"),
            ("a place that is none", PUT_MEMBER, caller.grant(id, "organisation/..", 1), "malformed"),
            ("text that is no UTF-8", PUT_MEMBER, not_utf8, "malformed"),
            (
                "an organisation of nobody",
                PUT_MEMBER,
                caller.grant([0xdd; 16], "organisation", 1),
                "not_permitted",
            ),
            ("another's home", &list, caller.at_home_of(Owner::Account(vec![9; 16].into())), "not_permitted"),
            ("a method of another case", "/holdfast.files.v1.files/List", caller.list(b""), "unknown_method"),
            ("a method that is none", &lists, caller.list(b""), "unknown_method"),
            ("a method with a tail", &tail, caller.list(b""), "unknown_method"),
            ("a method with a query", &query, caller.list(b""), "unknown_method"),
            ("a path that is very long", &long, vec![], "unknown_method"),
        ];
        for (what, path, message, expected) in cases {
            let events = audited(&mut cluster);
            let refused = caller.send(path, &message).await;
            assert_eq!(refused.as_deref(), Some(expected), "{what}");
            let one_more = || Ok((audited(&mut cluster) > events).then_some(()));
            wait::until(Duration::from_secs(5), "the audit event", one_more).unwrap();
            assert_eq!(audited(&mut cluster), events + 1, "{what}");
        }
        // As deep as it likes in what nobody reads: it is skipped, not followed.
        assert_eq!(caller.send(&stat, &[&deep[..], &field(2, b"diary")].concat()).await, None);
    });
    let node = cluster.node(0).unwrap();
    assert!(!node.log_since_start().contains("panicked"));
    assert_eq!(ann.holdfast().ok(["files", "ls"]).unwrap().matches("diary").count(), 1);
}

/// How many decisions the node has recorded.
fn audited(cluster: &mut Cluster) -> usize {
    cluster.node(0).unwrap().log_since_start().lines().filter(|line| line.contains("decision=")).count()
}
