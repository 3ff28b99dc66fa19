//! Holes that systems like this one have had, each tried with the original attack on real processes.
//!
//! The numbers are those of `docs/THREAT_MODEL.md`, "Holes that stay closed"; what the accounts module closes is tried in its own tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::{
    collections::BTreeSet,
    fs,
    future::{Future, poll_fn},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::{Client, Error, credential::ClientCredential};
use holdfast_domain::{Audience, HomeId, Reason};
use holdfast_files_api::v1::{
    BeginRequest, GetRequest, ListRequest, PutSmallRequest, RemoveRequest, StatRequest, UsageRequest,
    files_client::FilesClient,
};
use holdfast_integration_tests::{
    adversary::reason,
    cluster::{Account, Cluster},
};
use holdfast_proto::declared::Declared;
use tempfile::{TempDir, tempdir};
use tonic::{Code, Status, transport::Channel};
use tower_service::Service as _;

/// What strangers may call, of both servers.
const PUBLIC: [&str; 14] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/holdfast.accounts.v1.Logins/RequestReset",
    "/holdfast.accounts.v1.Logins/Reset",
    "/holdfast.accounts.v1.Logins/SignIn",
    "/holdfast.node.v1.Maps/Newest",
    "/holdfast.registry.v1.Clients/Recover",
    "/holdfast.registry.v1.Clients/Register",
    "/holdfast.registry.v1.Clients/Renew",
    "/holdfast.registry.v1.Directory/Bootstrap",
    "/holdfast.registry.v1.Directory/Resolve",
    "/holdfast.registry.v1.Enrolment/Join",
    "/holdfast.session.v1.Sessions/Challenge",
    "/holdfast.session.v1.Sessions/SignIn",
];

const PATIENCE: Duration = Duration::from_secs(10);

/// One voter, one node, and two accounts that know nothing of each other.
struct World {
    dir: TempDir,
    cluster: Cluster,
    ann: Account,
    bob: Account,
}

impl World {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let (cluster, ann) = Cluster::with_account(dir.path(), 1, 1).unwrap();
        let bob = cluster.add_account("bob", "10MiB").unwrap();
        Self { dir, cluster, ann, bob }
    }

    fn client(&self, account: &Account) -> Client {
        self.cluster.client(account, PATIENCE).unwrap()
    }

    fn put(&self, account: &Account, name: &str, content: &[u8]) {
        let file = self.dir.path().join("to put");
        fs::write(&file, content).unwrap();
        account.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", name]).unwrap();
    }

    fn get(&self, account: &Account, name: &str) -> Vec<u8> {
        let file = self.dir.path().join("that was got");
        drop(fs::remove_file(&file));
        account.holdfast().ok(["files", "get", name, "--to", file.to_str().unwrap()]).unwrap();
        fs::read(&file).unwrap()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn refused<T>(answer: Result<T, Error>, expected: Reason) {
    match answer {
        Err(Error::Refused { reason, .. }) => assert_eq!(reason, expected),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("that was allowed"),
    }
}

#[test]
fn hole_02_a_fresh_account_reads_changes_and_deletes_another() {
    let world = World::new();
    world.put(&world.ann, "diary", b"dear diary");
    let bob = world.client(&world.bob);
    let others = bob.home(Some(HomeId::Account(world.ann.id)));
    let name = Bytes::from_static(b"diary");
    block_on(async {
        refused(
            others
                .call("stat", |channel, route| {
                    let request = StatRequest { route: Some(route), name: name.clone() };
                    async move { FilesClient::new(channel).stat(request).await }
                })
                .await,
            Reason::NotPermitted,
        );
        refused(
            others
                .call("get", |channel, route| {
                    let request = GetRequest { route: Some(route), name: name.clone(), offset: 0 };
                    async move { FilesClient::new(channel).get(request).await }
                })
                .await,
            Reason::NotPermitted,
        );
        refused(
            others
                .call("list", |channel, route| {
                    let request = ListRequest { route: Some(route), ..ListRequest::default() };
                    async move { FilesClient::new(channel).list(request).await }
                })
                .await,
            Reason::NotPermitted,
        );
        refused(
            others
                .call("usage", |channel, route| async move {
                    FilesClient::new(channel).usage(UsageRequest { route: Some(route) }).await
                })
                .await,
            Reason::NotPermitted,
        );
        refused(
            others
                .call("put", |channel, route| {
                    let request = PutSmallRequest {
                        route: Some(route),
                        name: name.clone(),
                        data: Bytes::from_static(b"dear bob"),
                        sha256: Bytes::from_static(&[0; 32]),
                    };
                    async move { FilesClient::new(channel).put_small(request).await }
                })
                .await,
            Reason::NotPermitted,
        );
        refused(
            others
                .call("remove", |channel, route| {
                    let request = RemoveRequest { route: Some(route), name: name.clone() };
                    async move { FilesClient::new(channel).remove(request).await }
                })
                .await,
            Reason::NotPermitted,
        );
    });
    assert_eq!(world.get(&world.ann, "diary"), b"dear diary");
}

/// A call of any method with an empty message. A stream that is let in and says nothing is let in.
async fn probe(channel: &Channel, path: &str) -> Status {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = path.parse().unwrap();
    let call = client.unary(tonic::Request::new(()), path, codec);
    match tokio::time::timeout(Duration::from_secs(1), call).await {
        Ok(Ok(_)) | Err(_) => Status::ok(""),
        Ok(Err(status)) => status,
    }
}

/// Both servers, seen by a stranger and by a client with an account.
async fn doors(world: &mut World) -> Vec<(&'static str, Audience, Channel)> {
    let pin = world.cluster.founded().unwrap().root().unwrap();
    let credential =
        ClientCredential::open(&world.cluster.credential_of(&world.bob.context), Some(pin)).unwrap();
    let identity = LiveIdentity::new(credential.checked_identity().unwrap());
    let node = world.cluster.node(0).unwrap();
    let (node_address, id) = (node.address(), node.node.clone().unwrap().parse().unwrap());
    let voter = world.cluster.voter(0).unwrap().address();
    let mut doors = Vec::new();
    for (who, identity) in [(Audience::Public, None), (Audience::Client, Some(identity))] {
        let dialer = Dialer::new(credential.trust().live(), identity);
        let at = dialer.connect(&voter, &ExpectedServer::AnyRegistry).await.unwrap().channel;
        doors.push(("registry", who, at));
        let at = dialer.connect(&node_address, &ExpectedServer::Node(id)).await.unwrap().channel;
        doors.push(("node", who, at));
    }
    doors
}

/// Who may call what, asked of every method of both servers; and which of them strangers reach.
async fn survey(world: &mut World) -> BTreeSet<String> {
    let sets: [&[u8]; 3] =
        [holdfast_proto::DESCRIPTORS, holdfast_accounts_api::DESCRIPTORS, holdfast_files_api::DESCRIPTORS];
    let declared = Declared::read(&sets).unwrap();
    let mut reached = BTreeSet::new();
    for (server, who, channel) in doors(world).await {
        for method in declared.methods() {
            let status = probe(&channel, &method.path).await;
            let served = status.code() != Code::Unimplemented;
            if method.admits.names(who) || !served {
                reached.extend((served && who == Audience::Public).then(|| method.path.clone()));
                continue;
            }
            let expected = if who == Audience::Public { "unauthenticated" } else { "not_permitted" };
            assert_eq!(reason(&status), expected, "{who} calls {} of the {server}", method.path);
        }
    }
    reached
}

/// What neither a stranger nor a client finds on any server.
async fn nowhere(world: &mut World, paths: &[&str]) {
    for (server, who, channel) in doors(world).await {
        for path in paths {
            let code = probe(&channel, path).await.code();
            assert_eq!(code, Code::Unimplemented, "{who} calls {path} of the {server}");
        }
    }
}

#[test]
fn hole_05_an_event_bus_wipes_all_data_for_anybody() {
    let mut world = World::new();
    world.put(&world.ann, "diary", b"dear diary");
    block_on(async {
        // Whoever adds to what strangers may call says so here.
        let public = survey(&mut world).await;
        assert_eq!(public, PUBLIC.map(str::to_owned).into(), "of both servers");
        let buses =
            ["/events/wipe", "/holdfast.registry.v1.Operators/Wipe", "/holdfast.events.v1.Bus/Publish"];
        nowhere(&mut world, &buses).await;
    });
    assert_eq!(world.get(&world.ann, "diary"), b"dear diary");
}

#[test]
fn hole_06_backups_restores_and_mail_are_open_to_any_token() {
    let mut world = World::new();
    block_on(async {
        for (server, who, channel) in doors(&mut world).await {
            let status = probe(&channel, "/holdfast.registry.v1.Operators/Export").await;
            let refused = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented];
            assert!(refused.contains(&status.code()), "{who} has the {server} write a backup: {status:?}");
        }
        let restores = ["/holdfast.registry.v1.Operators/Restore", "/holdfast.registry.v1.Operators/Import"];
        nowhere(&mut world, &restores).await;
        nowhere(&mut world, &["/holdfast.accounts.v1.Mail/Send", "/holdfast.accounts.v1.Logins/Mail"]).await;
    });
}

#[test]
fn hole_20_every_origin_is_let_in_and_reflection_and_metrics_are_open() {
    let mut world = World::new();
    block_on(async {
        for (server, who, channel) in doors(&mut world).await {
            for version in ["v1", "v1alpha"] {
                let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
                let code = probe(&channel, &path).await.code();
                let refused = [Code::Unauthenticated, Code::PermissionDenied];
                assert!(refused.contains(&code), "{who} has the {server} describe itself: {code:?}");
            }
            for method in ["POST", "OPTIONS", "GET"] {
                let request = http::Request::builder()
                    .method(method)
                    .uri("/grpc.health.v1.Health/Check")
                    .header("origin", "https://elsewhere.example")
                    .header("access-control-request-method", "POST")
                    .header("content-type", "application/grpc")
                    .body(tonic::body::Body::empty())
                    .unwrap();
                let mut channel = channel.clone();
                poll_fn(|context| channel.poll_ready(context)).await.unwrap();
                let response = channel.call(request).await.unwrap();
                let allowed = response.headers().get("access-control-allow-origin");
                assert_eq!(allowed, None, "the {server} lets pages of others read its answers");
            }
        }
        nowhere(&mut world, &["/metrics", "/grpc.health.v1.health/Check"]).await;
    });
}

#[test]
fn hole_10_a_path_in_a_request_makes_the_server_read_its_own_files() {
    let world = World::new();
    let ann = world.client(&world.ann).home(None);
    block_on(async {
        for name in ["../../../../etc/passwd", "/etc/passwd", "..", "a/../../b", "file:///etc/passwd"] {
            let get = ann.call("get", |channel, route| {
                let request = GetRequest { route: Some(route), name: Bytes::from(name), offset: 0 };
                async move { FilesClient::new(channel).get(request).await.map(|_| tonic::Response::new(())) }
            });
            match get.await {
                Err(Error::Refused { reason: Reason::NotFound | Reason::Malformed, .. }) => {}
                other => panic!("{name}: {other:?}"),
            }
        }
    });
}

#[test]
fn hole_17_an_upload_id_leads_out_of_the_folder() {
    let world = World::new();
    let servers = [world.cluster.voters[0].data().to_owned(), world.cluster.nodes[0].data().to_owned()];
    let listing = || servers.iter().flat_map(|data| listing(data)).collect::<BTreeSet<_>>();
    let before = listing();
    let ann = world.client(&world.ann).home(None);
    block_on(async {
        for upload in ["../../../../tmp/x\0\0\0", "..", "a", "/etc/passwd-1234567"] {
            let begin = ann.call("begin", |channel, route| {
                let request = BeginRequest {
                    route: Some(route),
                    name: Bytes::from_static(b"x"),
                    size: 1,
                    upload_id: Bytes::from(upload),
                };
                async move { FilesClient::new(channel).begin(request).await }
            });
            refused(begin.await, Reason::Malformed);
        }
        // Of the right length it is an id like any other.
        let begin = ann.call("begin", |channel, route| {
            let (name, upload_id) = (Bytes::from_static(b"x"), Bytes::from_static(b"../../../../tmp/"));
            let request = BeginRequest { route: Some(route), name, size: 1, upload_id };
            async move { FilesClient::new(channel).begin(request).await }
        });
        begin.await.unwrap();
    });
    assert_eq!(listing(), before, "a request made a file");
}

/// Names of all files below a folder but those of engines and logs, which come and go by themselves.
fn listing(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !["state", "raft", "content"].contains(&name.as_str()) {
            found.extend(listing(&path));
        } else if path.is_file() {
            found.insert(path.display().to_string());
        }
    }
    found
}

#[test]
fn hole_12_the_last_one_to_log_in_acts_for_everyone() {
    let world = World::new();
    for round in 0..3 {
        std::thread::scope(|scope| {
            for (account, content) in [(&world.ann, "of ann"), (&world.bob, "of bob")] {
                let world = &world;
                scope.spawn(move || {
                    let file = world.dir.path().join(format!("{content} {round}"));
                    fs::write(&file, format!("{content} {round}")).unwrap();
                    account.holdfast().ok(["files", "put", file.to_str().unwrap(), "--as", "mine"]).unwrap();
                });
            }
        });
        assert_eq!(world.get(&world.ann, "mine"), format!("of ann {round}").as_bytes());
        assert_eq!(world.get(&world.bob, "mine"), format!("of bob {round}").as_bytes());
    }
}

#[test]
fn hole_15_an_encryption_that_is_never_switched_on() {
    let mut world = World::new();
    let secret = b"a sentence that must not lie on any disk";
    world.put(&world.ann, "secret name", &secret.repeat(1000));
    let node = world.cluster.node(0).unwrap();
    node.stop().unwrap();
    let mut files = 0;
    for file in all_files(node.data()) {
        let bytes = fs::read(&file).unwrap();
        for needle in [&secret[..], b"secret name"] {
            assert!(!bytes.windows(needle.len()).any(|seen| seen == needle), "{}", file.display());
        }
        files += 1;
    }
    assert!(files > 5, "a store of {files} files");
}

#[test]
fn hole_16_a_start_that_wipes_and_an_account_that_is_there_from_the_beginning() {
    let mut world = World::new();
    world.put(&world.ann, "diary", b"dear diary");
    for _ in 0..2 {
        let node = world.cluster.node(0).unwrap();
        node.stop().unwrap();
        node.start_and_wait().unwrap();
    }
    let voter = world.cluster.voter(0).unwrap();
    voter.stop().unwrap();
    voter.start_and_wait().unwrap();
    assert_eq!(world.get(&world.ann, "diary"), b"dear diary");
    let status = world.cluster.holdfast().json(["status"]).unwrap();
    assert_eq!(status["clients"], 2, "ann and bob alone: {status}");
}

#[test]
fn hole_18_backups_are_plain_overwrite_each_other_and_are_merged_into_what_runs() {
    let world = World::new();
    let secret = "a sentence that must not lie in any backup";
    world.put(&world.ann, secret, secret.as_bytes());
    let backup = world.dir.path().join("registry.backup");
    let export = || world.cluster.holdfast().ok(["registry", "export", backup.to_str().unwrap()]);
    export().unwrap();
    let first = fs::read(&backup).unwrap();
    assert!(!first.windows(secret.len()).any(|seen| seen == secret.as_bytes()));
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(export().is_err(), "a backup is never written over another");
    assert_eq!(fs::read(&backup).unwrap(), first);
    // Nothing reads one back into a cluster that runs.
    for verb in ["import", "restore"] {
        assert!(world.cluster.holdfast().ok(["registry", verb, backup.to_str().unwrap()]).is_err());
    }
}

fn all_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|entry| if entry.path().is_dir() { all_files(&entry.path()) } else { vec![entry.path()] })
        .collect()
}

#[test]
fn hole_19_a_download_that_never_gets_on_and_asks_for_no_owner() {
    let world = World::new();
    let content: Vec<u8> = (0..700_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    world.put(&world.ann, "large", &content);
    let read = |account: &Account, offset: u64| {
        let home = world.client(account).home(None);
        block_on(async move {
            let replies = home.call("get", |channel, route| {
                let request = GetRequest { route: Some(route), name: Bytes::from_static(b"large"), offset };
                async move { FilesClient::new(channel).get(request).await }
            });
            let mut replies = replies.await?;
            let mut read = Vec::new();
            while let Some(reply) = replies.message().await.unwrap() {
                read.extend_from_slice(&reply.data);
            }
            Ok::<_, Error>(read)
        })
    };
    for offset in [0, 1, 262_144, 300_001, 699_999] {
        assert_eq!(read(&world.ann, offset).unwrap(), content[usize::try_from(offset).unwrap()..]);
    }
    refused(read(&world.bob, 0), Reason::NotFound);
}
