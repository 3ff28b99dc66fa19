//! A module server in this process, reached through both of its sockets.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures::{Stream, StreamExt as _};
use holdfast_certs::PinnedPeers;
use holdfast_domain::{
    AccountId, ClientId, CommandId, Home, HomeId, OrgId, Reason, Role, Scope, Standing, UnixMs,
};
use holdfast_proto::{
    data::v1::{self as pb, data_client::DataClient},
    module::v1::Route,
};
use holdfast_sample_api::v1::{
    AboutReply, AboutRequest, GetRequest, NoteRow, PutReply, PutRequest,
    samples_client::SamplesClient,
    samples_server::{Samples, SamplesServer},
};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Channel, Endpoint, Server, Uri},
};

use super::*;
use crate::{
    BanList, Clock, PlatformServer, Refusal,
    testing::{AuditLog, Local, MemoryHost, Standings, TRUST_DOMAIN},
};

const POLICIES: &str = r#"
    @id("owners")
    permit(principal in sample::Role::"owner", action, resource);
    @id("users-write-what-is-theirs-and-read-it")
    permit(principal in sample::Role::"user", action, resource) when { resource.author == principal.id };
    @id("only-through-the-server")
    forbid(principal, action, resource) unless { context has via && context.via == "sample" };
"#;

/// The note that the server never comes back with.
const STUCK: u8 = 0xff;

const ANN: AccountId = AccountId::new([1; 16]);
const BOB: AccountId = AccountId::new([2; 16]);
const ORG: HomeId = HomeId::Organisation(OrgId::new([7; 16]));

/// What the module server saw of a call.
type Seen = Arc<Mutex<Vec<MetadataMap>>>;

/// Answers with what it finds under its grant.
struct Service {
    data: DataClient<Channel>,
    seen: Seen,
}

fn grant(metadata: &MetadataMap) -> String {
    metadata.get("holdfast-grant").unwrap().to_str().unwrap().to_owned()
}

fn key(id: &[u8]) -> Option<pb::Key> {
    let value = pb::Value { value: Some(pb::value::Value::Bytes(id.to_vec().into())) };
    Some(pb::Key { values: vec![value] })
}

impl Service {
    async fn note(&self, request: Request<GetRequest>) -> Result<NoteRow, Status> {
        self.seen.lock().unwrap().push(request.metadata().clone());
        if *request.get_ref().id == [STUCK] {
            std::future::pending::<()>().await;
        }
        let asked = pb::GetRequest {
            grant: grant(request.metadata()),
            key: key(&request.get_ref().id),
            ..pb::GetRequest::default()
        };
        let row = self.data.clone().get(asked).await?.into_inner().row.unwrap();
        Ok(NoteRow::decode(row.value).unwrap())
    }
}

#[tonic::async_trait]
impl Samples for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<NoteRow, Status>> + Send>>;

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutReply>, Status> {
        self.seen.lock().unwrap().push(request.metadata().clone());
        let row = request.get_ref().note.clone().unwrap().encode_to_vec();
        let change = pb::Change { table: None, change: Some(pb::change::Change::Put(row.into())) };
        let commit = pb::CommitRequest { grant: grant(request.metadata()), changes: vec![change] };
        self.data.clone().commit(commit).await?;
        Ok(Response::new(PutReply {}))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<NoteRow>, Status> {
        self.note(request).await.map(Response::new)
    }

    async fn watch(&self, request: Request<GetRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let first = futures::stream::iter([self.note(request).await]);
        Ok(Response::new(Box::pin(futures::StreamExt::chain(first, futures::stream::pending()))))
    }

    async fn about(&self, _: Request<AboutRequest>) -> Result<Response<AboutReply>, Status> {
        Err(Status::unimplemented("not served"))
    }
}

/// The sample's declarations; with a method that has no check, if that is wanted.
fn descriptors(about: bool) -> Vec<u8> {
    let text = include_str!("../../sample-api/holdfast/sample/v1/sample.proto");
    let method = text.find("  rpc About").unwrap()..text.find("message PutRequest").unwrap();
    let text = if about { text.to_owned() } else { text.replace(&text[method], "}\n") };
    crate::rules::tests::compiled("sample.proto", &text)
}

fn spec(folder: &Path) -> ModuleServerSpec {
    let own = std::fs::metadata(folder).unwrap();
    ModuleServerSpec {
        name: "sample".to_owned(),
        descriptors: folder.join("sample.bin"),
        policies: folder.join("sample.cedar"),
        uid: own.uid(),
        gid: own.gid(),
        socket: folder.join("module.sock"),
        data: folder.join("data.sock"),
    }
}

fn files(folder: &Path) -> ModuleServerSpec {
    let spec = spec(folder);
    std::fs::write(&spec.descriptors, descriptors(false)).unwrap();
    std::fs::write(&spec.policies, POLICIES).unwrap();
    spec
}

/// A channel over a Unix socket.
fn dial(path: &Path) -> Channel {
    let path = path.to_owned();
    Endpoint::from_static("http://node").connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

struct Desk {
    folder: tempfile::TempDir,
    server: PlatformServer,
    module: ModuleServer,
    standings: Arc<Standings>,
    seen: Seen,
}

impl Desk {
    async fn open() -> Self {
        Self::with(|spec| spec).await
    }

    /// A node with the module server behind it, where one or the other goes by a changed specification.
    async fn with(change: impl FnOnce(ModuleServerSpec) -> ModuleServerSpec) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let spec = files(folder.path());
        let (data, seen) = (DataClient::new(dial(&spec.data)), Seen::default());
        let service = SamplesServer::new(Service { data, seen: Arc::clone(&seen) });
        let incoming = UnixListenerStream::new(UnixListener::bind(&spec.socket).unwrap());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        let module = ModuleServer::load(change(spec)).unwrap();
        let clock = Clock::new(|| UnixMs(0));
        let rows = module.listen(TRUST_DOMAIN.parse().unwrap(), clock.clone()).await.unwrap();
        tokio::spawn(rows.serve());
        let standings = Standings::none();
        let server = PlatformServer::builder(
            TRUST_DOMAIN.parse().unwrap(),
            BanList::new(),
            PinnedPeers::none(),
            clock,
        )
        .module_server(&module, MemoryHost::empty(), Arc::<Standings>::clone(&standings))
        .build()
        .await
        .unwrap();
        Self { folder, server, module, standings, seen }
    }

    fn client(&self, account: AccountId) -> SamplesClient<Local> {
        let home = Home { account, quota_bytes: 1 << 30 };
        SamplesClient::new(Local::client(&self.server, ClientId::new(*account.as_bytes()), home))
    }

    fn user(&self, account: AccountId) {
        let mut standing = Standing::default();
        standing.hold(Scope::Global, Role::User);
        self.standings.stand(account, ORG, standing);
    }

    fn data(&self) -> DataClient<Channel> {
        DataClient::new(dial(&self.folder.path().join("data.sock")))
    }

    fn last_grant(&self) -> String {
        grant(self.seen.lock().unwrap().last().unwrap())
    }

    async fn get_with(&self, grant: &str) -> Result<pb::Row, Reason> {
        let asked = pb::GetRequest { grant: grant.to_owned(), key: key(&[1]), ..pb::GetRequest::default() };
        self.data()
            .get(asked)
            .await
            .map(|reply| reply.into_inner().row.unwrap())
            .map_err(|status| reason(&status))
    }
}

fn route(home: Option<HomeId>, command: u8) -> Option<Route> {
    let command_id = CommandId::new([command; 16]).as_bytes().to_vec().into();
    Some(Route { home: home.map(Into::into), command_id, ..Route::default() })
}

fn note(id: u8, author: AccountId) -> NoteRow {
    NoteRow {
        id: vec![id].into(),
        author: author.to_string(),
        password: "secret".to_owned(),
        ..NoteRow::default()
    }
}

fn put(home: Option<HomeId>, command: u8, note: NoteRow) -> PutRequest {
    PutRequest { route: route(home, command), note: Some(note) }
}

fn get(home: Option<HomeId>, id: u8) -> GetRequest {
    GetRequest { route: route(home, 0), id: vec![id].into() }
}

fn reason(status: &Status) -> Reason {
    Refusal::from_status(status).unwrap_or_else(|other| panic!("{other}")).reason()
}

#[tokio::test]
async fn a_call_passes_the_gate_and_its_handler_reaches_the_callers_rows() {
    let desk = Desk::open().await;
    let mut ann = desk.client(ANN);
    ann.put(put(None, 1, note(1, ANN))).await.unwrap();
    let read = ann.get(get(None, 1)).await.unwrap().into_inner();
    assert_eq!((read.author, read.password), (ANN.to_string(), String::new()), "without its secrets");
    assert_eq!(reason(&ann.get(get(None, 2)).await.unwrap_err()), Reason::NotFound);
    assert_eq!(desk.module.grants.count(), 0, "a call that is over leaves nothing");
}

#[tokio::test]
async fn rows_out_of_the_callers_scope_do_not_exist_and_cannot_be_made() {
    let desk = Desk::open().await;
    desk.user(ANN);
    desk.user(BOB);
    let (mut ann, mut bob) = (desk.client(ANN), desk.client(BOB));
    ann.put(put(Some(ORG), 1, note(1, ANN))).await.unwrap();
    assert_eq!(reason(&bob.get(get(Some(ORG), 1)).await.unwrap_err()), Reason::NotFound);
    assert_eq!(reason(&bob.put(put(Some(ORG), 2, note(1, BOB))).await.unwrap_err()), Reason::NotFound);
    assert_eq!(reason(&bob.put(put(Some(ORG), 3, note(2, ANN))).await.unwrap_err()), Reason::NotPermitted);
    assert!(ann.get(get(Some(ORG), 1)).await.is_ok());
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_module_hears_of_him() {
    let desk = Desk::open().await;
    let refused = desk.client(BOB).get(get(Some(ORG), 1)).await.unwrap_err();
    assert_eq!((reason(&refused), desk.seen.lock().unwrap().len()), (Reason::NotPermitted, 0));
}

#[tokio::test]
async fn a_grant_dies_with_its_call() {
    let desk = Desk::open().await;
    let mut ann = desk.client(ANN);
    ann.put(put(None, 1, note(1, ANN))).await.unwrap();
    ann.get(get(None, 1)).await.unwrap();
    assert_eq!(desk.get_with(&desk.last_grant()).await, Err(Reason::GrantUnknown));
    // An answer that goes on keeps it, until the client has had enough.
    let mut stream = ann.watch(get(None, 1)).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    let grant = desk.last_grant();
    assert!(desk.get_with(&grant).await.is_ok());
    drop(stream);
    assert_eq!(desk.get_with(&grant).await, Err(Reason::GrantUnknown));
}

#[tokio::test]
async fn a_grant_dies_within_two_seconds_of_the_callers_right_however_long_the_module_takes() {
    let desk = Arc::new(Desk::open().await);
    for stream in [false, true] {
        desk.user(ANN);
        let mut ann = desk.client(ANN);
        let call = tokio::spawn(async move {
            let asked = get(Some(ORG), STUCK);
            if stream { ann.watch(asked).await.map(|_| ()) } else { ann.get(asked).await.map(|_| ()) }
        });
        while desk.module.grants.count() == 0 || desk.seen.lock().unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_ne!(desk.get_with(&desk.last_grant()).await, Err(Reason::GrantUnknown));
        desk.standings.stand(ANN, ORG, Standing::default());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(2), call).await.unwrap().unwrap();
        assert_eq!(reason(&ended.unwrap_err()), Reason::NotPermitted);
        assert_eq!(desk.get_with(&desk.last_grant()).await, Err(Reason::GrantUnknown));
        desk.seen.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn guessed_grants_and_another_modules_are_unknown_and_recorded() {
    let (desk, other) = (Desk::open().await, Desk::open().await);
    let mut ann = other.client(ANN);
    ann.put(put(None, 1, note(1, ANN))).await.unwrap();
    let mut stream = ann.watch(get(None, 1)).await.unwrap().into_inner();
    stream.message().await.unwrap();
    let grant = other.last_grant();
    assert!(other.get_with(&grant).await.is_ok());
    let log = AuditLog::default();
    let _logging = log.record();
    let tries = [grant.clone(), String::new(), "A".repeat(43), grant[..42].to_owned(), grant + "A"];
    for tried in &tries {
        assert_eq!(desk.get_with(tried).await, Err(Reason::GrantUnknown), "{tried}");
    }
    let denied = log.events().into_iter().filter(|event| event.contains("grant_unknown")).collect::<Vec<_>>();
    assert_eq!(denied.len(), tries.len(), "{denied:?}");
    assert!(!denied.iter().any(|event| tries.iter().any(|tried| tried.len() > 40 && event.contains(tried))));
}

#[tokio::test]
async fn a_live_grant_opens_what_is_declared_and_nothing_else() {
    let desk = Desk::open().await;
    let mut ann = desk.client(ANN);
    ann.put(put(None, 1, note(1, ANN))).await.unwrap();
    let mut stream = ann.watch(get(None, 1)).await.unwrap().into_inner();
    stream.message().await.unwrap();
    let (mut data, grant) = (desk.data(), desk.last_grant());
    let table =
        |entity: &str, action: &str| Some(pb::Table { entity: entity.to_owned(), action: action.to_owned() });
    for table in [table("Membership", ""), table("", "purge"), table("note", ""), table("Membership", "get")]
    {
        let asked = pb::GetRequest { grant: grant.clone(), table, key: key(&[1]), secrets: true };
        assert_eq!(reason(&data.get(asked).await.unwrap_err()), Reason::Malformed);
    }
    let change = |change| pb::Change { table: table("", "put"), change: Some(change) };
    for (row, expected) in [
        (vec![0xff; 9], Reason::Malformed),
        (note(1, ANN).encode_to_vec()[3..].to_vec(), Reason::Malformed),
        (NoteRow { tags: vec!["x".repeat(40_000)], ..note(2, ANN) }.encode_to_vec(), Reason::Malformed),
    ] {
        let changes = vec![change(pb::change::Change::Put(row.into()))];
        let refused = data.commit(pb::CommitRequest { grant: grant.clone(), changes }).await.unwrap_err();
        assert_eq!(reason(&refused), expected);
    }
    let none = pb::CommitRequest { grant: grant.clone(), changes: Vec::new() };
    assert_eq!(reason(&data.commit(none).await.unwrap_err()), Reason::Malformed);
    let many = (0..200).map(|_| change(pb::change::Change::Delete(key(&[9]).unwrap()))).collect();
    let many = pb::CommitRequest { grant: grant.clone(), changes: many };
    assert_eq!(reason(&data.commit(many).await.unwrap_err()), Reason::Malformed);
    let listed = pb::ListRequest { grant: grant.clone(), limit: u32::MAX, ..pb::ListRequest::default() };
    let rows = data.list(listed).await.unwrap().into_inner().rows;
    assert_eq!(rows.len(), 1);
    let asked = pb::GetRequest { grant, key: key(&[1]), secrets: true, ..pb::GetRequest::default() };
    let row = data.get(asked).await.unwrap().into_inner().row.unwrap();
    assert_eq!(NoteRow::decode(row.value).unwrap().password, "secret", "for the handler itself");
}

#[tokio::test]
async fn what_the_client_sends_beside_its_message_stays_with_the_node() {
    let desk = Desk::open().await;
    let mut request = Request::new(put(None, 1, note(1, ANN)));
    for (name, value) in [
        ("cookie", "c"),
        ("holdfast-grant", "forged"),
        ("holdfast-account", "forged"),
        ("authorization", "a"),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    desk.client(ANN).put(request).await.unwrap();
    let seen = desk.seen.lock().unwrap();
    let names: Vec<_> = seen[0].clone().into_headers().keys().map(ToString::to_string).collect();
    for name in &names {
        let known = ["holdfast-grant", "holdfast-account", "content-type", "te", "user-agent"];
        assert!(known.contains(&name.as_str()), "{names:?}");
    }
    assert_eq!(seen[0].get("holdfast-account").unwrap(), ANN.to_string().as_str());
    assert_ne!(grant(&seen[0]), "forged");
}

#[tokio::test]
async fn only_the_modules_user_is_served_at_either_socket() {
    let folder = tempfile::tempdir().unwrap();
    let stranger = std::fs::metadata(folder.path()).unwrap().uid() + 1;
    let desk = Desk::with(|spec| ModuleServerSpec { uid: stranger, ..spec }).await;
    // The node does not talk to whoever listens in the module's place.
    assert_eq!(reason(&desk.client(ANN).get(get(None, 1)).await.unwrap_err()), Reason::NotReady);
    assert_eq!(desk.seen.lock().unwrap().len(), 0);
    // Whoever reaches the node's socket as another user is cut off.
    let status = desk.data().get(pb::GetRequest::default()).await.unwrap_err();
    assert!(Refusal::from_status(&status).is_err(), "{status:?}");
}

#[tokio::test]
async fn a_module_server_that_is_away_or_talks_nonsense_is_not_ready() {
    let away =
        Desk::with(|spec| ModuleServerSpec { socket: spec.socket.with_extension("gone"), ..spec }).await;
    assert_eq!(reason(&away.client(ANN).get(get(None, 1)).await.unwrap_err()), Reason::NotReady);
    let nonsense = Desk::with(|spec| {
        let socket = spec.socket.with_extension("nonsense");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = std::io::Write::write_all(&mut stream, &[0xff; 4096]);
            }
        });
        ModuleServerSpec { socket, ..spec }
    });
    assert_eq!(reason(&nonsense.await.client(ANN).get(get(None, 1)).await.unwrap_err()), Reason::NotReady);
}

#[test]
fn files_that_declare_something_else_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let load = |spec| ModuleServer::load(spec).err().unwrap().to_string();
    let spec = files(folder.path());
    assert!(load(ModuleServerSpec { name: "other".to_owned(), ..spec.clone() }).contains("other"));
    let gone = ModuleServerSpec { policies: folder.path().join("none.cedar"), ..spec.clone() };
    assert!(load(gone).contains("none.cedar"));
    std::fs::write(&spec.descriptors, descriptors(true)).unwrap();
    assert!(load(spec.clone()).contains("/holdfast.sample.v1.Samples/About has no check"));
    std::fs::write(&spec.descriptors, [0xff; 99]).unwrap();
    assert!(load(spec).contains("the descriptors"));
}

#[test]
fn only_a_socket_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (spec, _entered) = (spec(folder.path()), runtime.enter());
    std::fs::write(&spec.data, "mine").unwrap();
    assert!(sockets::listen(&spec.data, spec.gid).is_err());
    assert_eq!(std::fs::read(&spec.data).unwrap(), b"mine");
    std::fs::remove_file(&spec.data).unwrap();
    for _ in 0..2 {
        sockets::listen(&spec.data, spec.gid).unwrap();
        assert_eq!(std::fs::metadata(&spec.data).unwrap().mode() & 0o777, 0o660);
    }
}

#[tokio::test]
async fn a_module_server_has_so_many_connections_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let own = std::fs::metadata(folder.path()).unwrap();
    let listener = sockets::listen(&path, own.gid()).unwrap();
    let (open, peer) = (Arc::new(tokio::sync::Semaphore::new(2)), crate::testing::peer(None));
    let mut accepted = sockets::Accepted { open, listener, uid: own.uid(), peer };
    let connect = || tokio::net::UnixStream::connect(&path);
    let _clients = (connect().await.unwrap(), connect().await.unwrap(), connect().await.unwrap());
    let first = accepted.next().await.unwrap().unwrap();
    let _second = accepted.next().await.unwrap().unwrap();
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(200), accepted.next()).await;
    assert!(waiting.is_err(), "the third was closed");
    drop(first);
    let _fourth = connect().await.unwrap();
    accepted.next().await.unwrap().unwrap();
}
