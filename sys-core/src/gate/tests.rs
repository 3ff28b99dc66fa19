mod capabilities;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context as Task, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_authz::Scope;
use holdfast_certs::{Peer, PinnedPeers};
use holdfast_domain::{
    AccountId, BanSubject, ClientId, Home, HomeId, OrgId, Reason, Role, Scope as Held, SpiffeSubject,
    Standing, UnixMs,
};
use holdfast_proto::module::v1::Route;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody};
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use tower_layer::Layer as _;
use tower_service::Service;

use super::*;
use crate::{
    BanList, Clock, Refusal, RuleTable,
    authn::Authenticator,
    guard::{Guard, Guarded},
    module::{Partition, PartitionHost, RouteInfo},
    testing::{AuditLog, MemoryHome, TRUST_DOMAIN, identity, peer},
};

const PROTO: &str = r#"
    syntax = "proto3"; package notes.v1;
    import "holdfast/module/v1/route.proto";
    import "holdfast/options/v1/module.proto";
    import "holdfast/options/v1/rule.proto";
    service Notes {
      option (holdfast.options.v1.module) = {
        name: "notes"
        tablespace: "notes"
        screens: {path: "/notes", title: "Notes", needs: "Note.get", navigation: true}
        screens: {path: "/notes/{id}", title: "Note", needs: "Note.watch"}
      };
      rpc Get(GetRequest) returns (Note) {
        option (holdfast.options.v1.rule) = {check: {action: "get", entity: "Note"}};
      }
      rpc Watch(GetRequest) returns (stream Note) {
        option (holdfast.options.v1.rule) = {check: {action: "watch", entity: "Note"}};
      }
    }
    service Doors {
      option (holdfast.options.v1.module) = {name: "notes", tablespace: "notes"};
      rpc Knock(GetRequest) returns (Note) {
        option (holdfast.options.v1.rule) = {check: {action: "knock", entity: "Note", anonymous: true}};
      }
    }
    message GetRequest { holdfast.module.v1.Route route = 1; bytes id = 2; }
    message Note {
      option (holdfast.options.v1.entity) = {type: "Note", table: "note", key: "id"};
      bytes id = 1;
      bytes author = 2 [(holdfast.options.v1.attr) = {policy: true}];
    }"#;

pub(super) const POLICIES: &str = r#"
    @id("owners")
    permit(principal, action, resource) when { principal in notes::Role::"owner" };
    @id("admins")
    permit(principal, action, resource) when { principal in notes::Role::"admin" };
    @id("authors")
    permit(principal, action, resource) when { principal in notes::Role::"user" && resource.author == principal.id };
    @id("anybody knocks")
    permit(principal, action == notes::Action::"Note.knock", resource) when { resource.author != principal.id };
"#;

const GET: &str = "/notes.v1.Notes/Get";
const KNOCK: &str = "/notes.v1.Doors/Knock";
const WATCH: &str = "/notes.v1.Notes/Watch";
const ORG: HomeId = HomeId::Organisation(OrgId::new([7; 16]));
const ANN: AccountId = AccountId::new([1; 16]);

pub(super) fn rules() -> RuleTable {
    let set = crate::rules::tests::compiled("notes.proto", PROTO);
    RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS, &set]).unwrap()
}

/// Roles in homes, which change while calls are open.
#[derive(Default)]
struct Roles(Mutex<BTreeMap<(AccountId, HomeId), Role>>);

#[async_trait]
impl StandingSource for Roles {
    async fn standing(
        &self,
        account: Option<AccountId>,
        home: HomeId,
        _: RouteInfo,
    ) -> Result<HomeStanding, Refusal> {
        let mut standing = Standing::default();
        let role = account.and_then(|account| self.0.lock().unwrap().get(&(account, home)).copied());
        if let Some(role) = role {
            standing.hold(Held::Global, role);
        }
        Ok(HomeStanding { standing, quota_bytes: 9 })
    }
}

/// Homes in memory, and which were opened.
#[derive(Default)]
struct Homes(Mutex<Vec<HomeAccess>>);

#[async_trait]
impl PartitionHost for Homes {
    async fn partition(&self, access: &HomeAccess, _: RouteInfo) -> Result<Arc<dyn Partition>, Refusal> {
        self.0.lock().unwrap().push(access.clone());
        Ok(MemoryHome::new(access.home()).partition(access.client()))
    }
}

/// Answers with a stream that never ends, and remembers what it was given.
#[derive(Clone, Default)]
struct Handler {
    given: Arc<Mutex<Vec<Context>>>,
    /// Never answers at all.
    stuck: bool,
    /// Answers with as much as anybody takes.
    ready: bool,
}

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = futures::future::BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.given.lock().unwrap().push(request.extensions().get::<Context>().unwrap().clone());
        if self.stuck {
            return Box::pin(std::future::pending());
        }
        if self.ready {
            let frame = || Ok::<_, Status>(http_body::Frame::data(Bytes::from_static(b"x")));
            let endless = Body::new(StreamBody::new(futures::stream::repeat_with(frame)));
            return Box::pin(std::future::ready(Ok(Response::new(endless))));
        }
        let silent = futures::stream::pending::<Result<http_body::Frame<Bytes>, Status>>();
        Box::pin(std::future::ready(Ok(Response::new(Body::new(StreamBody::new(silent))))))
    }
}

struct Desk {
    guarded: Guarded<Handler>,
    handler: Handler,
    roles: Arc<Roles>,
    homes: Arc<Homes>,
    bans: BanList,
}

fn desk() -> Desk {
    desk_with(Handler::default())
}

fn desk_with(handler: Handler) -> Desk {
    let (roles, homes, bans) = (Arc::new(Roles::default()), Arc::new(Homes::default()), BanList::new());
    let clock = Clock::new(|| UnixMs(0));
    let authenticator =
        Authenticator::new(TRUST_DOMAIN.parse().unwrap(), bans.clone(), PinnedPeers::none(), clock);
    let gates = Gates::new(&rules(), vec![gated(POLICIES, &homes, &roles)]).unwrap();
    let guarded = Guard::new(rules(), authenticator, gates, None).layer(handler.clone());
    Desk { guarded, handler, roles, homes, bans }
}

fn gated(policies: &'static str, homes: &Arc<Homes>, roles: &Arc<Roles>) -> Gated {
    Gated {
        module: "notes",
        policies,
        host: Arc::<Homes>::clone(homes),
        standings: Arc::<Roles>::clone(roles),
    }
}

fn ann() -> Peer {
    let home = Home { account: ANN, quota_bytes: 5 };
    peer(Some(identity(SpiffeSubject::Client(ClientId::new([3; 16])), Some(home))))
}

#[derive(Clone, PartialEq, prost::Message)]
struct GetRequest {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
}

fn to(home: Option<HomeId>) -> Vec<u8> {
    let route = Route { home: home.map(Into::into), ..Route::default() };
    GetRequest { route: Some(route) }.encode_to_vec()
}

impl Desk {
    async fn call(&mut self, path: &str, message: &[u8]) -> Result<(Context, Response<Body>), Reason> {
        self.call_as(ann(), path, message).await
    }

    async fn call_as(
        &mut self,
        caller: Peer,
        path: &str,
        message: &[u8],
    ) -> Result<(Context, Response<Body>), Reason> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let body = Full::new(Bytes::from([&[0], &length[..], message].concat()));
        let body = Body::new(body.map_err(|never| match never {}));
        let mut request = Request::builder().method("POST").uri(path).body(body).unwrap();
        request.extensions_mut().insert(caller);
        let response = self.guarded.call(request).await.unwrap();
        let through = self.handler.given.lock().unwrap().pop();
        match Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
            Some(status) => {
                assert!(through.is_none(), "refused and yet handed on");
                Err(Refusal::from_status(&status).unwrap().reason())
            }
            None => Ok((through.unwrap(), response)),
        }
    }

    fn hold(&self, role: Option<Role>) {
        let mut roles = self.roles.0.lock().unwrap();
        match role {
            Some(role) => drop(roles.insert((ANN, ORG), role)),
            None => drop(roles.remove(&(ANN, ORG))),
        }
    }
}

#[tokio::test]
async fn the_owner_of_a_home_has_all_of_it_with_the_quota_of_his_certificate() {
    let mut desk = desk();
    for home in [None, Some(ANN.into())] {
        let (context, _) = desk.call(GET, &to(home)).await.unwrap();
        assert_eq!(
            (context.home(), context.account().unwrap(), &context.0.scope),
            (ANN.into(), ANN, &Scope::Always)
        );
        assert!(context.whole().is_ok());
        assert_eq!(desk.homes.0.lock().unwrap().pop().unwrap().quota_bytes(), 5);
    }
}

#[tokio::test]
async fn callers_without_an_identity_reach_what_asks_for_them_and_are_nobody_there() {
    let mut desk = desk();
    let (anonymous, node) =
        (peer(None), peer(Some(identity(SpiffeSubject::Node(holdfast_domain::NodeId::new([1; 16])), None))));
    let (context, _) = desk.call_as(anonymous.clone(), KNOCK, &to(Some(ORG))).await.unwrap();
    assert_eq!(context.account().unwrap_err().reason(), Reason::Unauthenticated);
    let Scope::Rows(rows) = &context.0.scope else { panic!("{:?}", context.0.scope) };
    let by = |author: &str| [("author".to_owned(), author.into())].into();
    assert!(rows.admits(&by("")) && rows.admits(&by(&ANN.to_string())) && !rows.admits(&by("anonymous")));
    assert_eq!(desk.call_as(anonymous.clone(), KNOCK, &to(None)).await.err(), Some(Reason::Malformed));
    assert_eq!(
        desk.call_as(anonymous, GET, &to(Some(ORG))).await.err(),
        Some(Reason::Unauthenticated),
        "what does not ask for them"
    );
    assert_eq!(desk.call_as(node, KNOCK, &to(Some(ORG))).await.err(), Some(Reason::NotPermitted));
    let (context, _) = desk.call(KNOCK, &to(Some(ORG))).await.unwrap();
    assert_eq!(context.account().unwrap(), ANN, "who has an identity keeps it");
}

#[tokio::test]
async fn a_strangers_call_ends_before_any_home_is_opened() {
    let mut desk = desk();
    let other = HomeId::Account(AccountId::new([9; 16]));
    for home in [ORG, other] {
        assert_eq!(desk.call(GET, &to(Some(home))).await.err(), Some(Reason::NotPermitted));
    }
    assert_eq!(desk.homes.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_members_context_holds_the_rows_of_his_role_and_no_more() {
    let mut desk = desk();
    desk.hold(Some(Role::User));
    let (context, _) = desk.call(GET, &to(Some(ORG))).await.unwrap();
    assert!(matches!(context.0.scope, Scope::Rows(_)), "{:?}", context.0.scope);
    assert_eq!(context.whole().err().map(|refusal| refusal.reason()), Some(Reason::NotPermitted));
    assert_eq!(desk.homes.0.lock().unwrap().pop().unwrap().quota_bytes(), 9);
    desk.hold(Some(Role::Admin));
    let (context, _) = desk.call(GET, &to(Some(ORG))).await.unwrap();
    assert_eq!(context.0.scope, Scope::Always);
    desk.hold(Some(Role::Guest));
    assert_eq!(desk.call(GET, &to(Some(ORG))).await.err(), Some(Reason::NotPermitted));
}

#[tokio::test]
async fn a_request_that_addresses_nothing_readable_is_malformed() {
    let mut desk = desk();
    let bad_home = [0x0a, 4, 0x22, 2, 0x0a, 0];
    let bad_command = [0x0a, 3, 0x1a, 1, 7];
    for message in [&[][..], &[0xff; 9], &bad_home, &bad_command] {
        assert_eq!(desk.call(GET, message).await.err(), Some(Reason::Malformed), "{message:?}");
    }
}

/// What ends the stream of a user whose rights change like this.
async fn stream_end(role: Option<Role>, banned: bool) -> Reason {
    let mut desk = desk();
    desk.hold(Some(Role::User));
    let (_, response) = desk.call(WATCH, &to(Some(ORG))).await.unwrap();
    let mut body = response.into_body();
    let quiet = tokio::time::timeout(Duration::from_millis(1500), body.frame()).await;
    assert!(quiet.is_err(), "nothing has changed");
    desk.hold(role);
    if banned {
        let ban = BanSubject::Client(ClientId::new([3; 16]));
        desk.bans.replace([ban].into()).unwrap();
    }
    let ended = tokio::time::timeout(Duration::from_secs(2), body.frame()).await.unwrap();
    let status = ended.unwrap().unwrap_err();
    assert!(body.frame().await.is_none());
    Refusal::from_status(&status).unwrap().reason()
}

#[tokio::test]
async fn an_open_stream_ends_within_two_seconds_of_a_change_of_rights() {
    let (more, none, banned) = tokio::join!(
        stream_end(Some(Role::Admin), false),
        stream_end(None, false),
        stream_end(Some(Role::User), true),
    );
    assert_eq!((more, none, banned), (Reason::NotReady, Reason::NotPermitted, Reason::Banned));
}

#[tokio::test]
async fn a_stream_that_nobody_waited_for_is_decided_before_it_goes_on_late() {
    let mut desk = desk_with(Handler { ready: true, ..Handler::default() });
    desk.hold(Some(Role::User));
    let (_, stays) = desk.call(WATCH, &to(Some(ORG))).await.unwrap();
    let (_, ends) = desk.call(WATCH, &to(Some(ORG))).await.unwrap();
    let (mut stays, mut ends) = (stays.into_body(), ends.into_body());
    for body in [&mut stays, &mut ends] {
        assert!(body.frame().await.unwrap().is_ok());
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(stays.frame().await.unwrap().is_ok());
    desk.hold(None);
    let status = ends.frame().await.unwrap().unwrap_err();
    assert_eq!(Refusal::from_status(&status).unwrap().reason(), Reason::NotPermitted);
    assert!(ends.frame().await.is_none());
}

#[tokio::test]
async fn a_call_that_lasts_ends_within_two_seconds_of_a_change_of_rights() {
    let mut desk = desk_with(Handler { stuck: true, ..Handler::default() });
    desk.hold(Some(Role::User));
    let roles = Arc::clone(&desk.roles);
    let taken = async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        roles.0.lock().unwrap().clear();
        tokio::time::Instant::now()
    };
    let message = to(Some(ORG));
    let mut body = Vec::from([0]);
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let body = Body::new(Full::new(Bytes::from(body)).map_err(|never| match never {}));
    let mut request = Request::builder().method("POST").uri(GET).body(body).unwrap();
    request.extensions_mut().insert(ann());
    let call = desk.guarded.call(request);
    let (response, taken) = tokio::join!(call, taken);
    assert!(taken.elapsed() < Duration::from_secs(2));
    let status = Status::from_header_map(response.unwrap().headers()).unwrap();
    assert_eq!(Refusal::from_status(&status).unwrap().reason(), Reason::NotPermitted);
}

#[tokio::test]
async fn each_decision_is_one_audit_event_that_names_the_check() {
    let mut desk = desk();
    let log = AuditLog::default();
    let _logging = log.record();
    desk.call(GET, &to(None)).await.unwrap();
    desk.call(GET, &to(Some(ORG))).await.err().unwrap();
    desk.call(GET, b"").await.err().unwrap();
    let events = log.events();
    assert_eq!(events.len(), 3, "{events:?}");
    for (event, decision) in events.iter().zip(["allow", "deny", "deny"]) {
        assert!(event.contains(decision) && event.contains("check:notes::Note.get"), "{event}");
    }
    assert!(events[0].contains("owners"), "which policy: {events:?}");
}

#[test]
fn checks_without_policies_policies_without_checks_and_wrong_ones_stop_the_start() {
    let (homes, roles) = (Arc::new(Homes::default()), Arc::new(Roles::default()));
    let gates = |given: Vec<Gated>| Gates::new(&rules(), given).map(|_| ()).unwrap_err();
    assert!(matches!(gates(vec![]), GateError::NoPolicies(module) if module == "notes"));
    let other = Gated { module: "other", ..gated(POLICIES, &homes, &roles) };
    assert!(matches!(gates(vec![other]), GateError::NoModule(module) if module == "other"));
    let renamed = "permit(principal, action, resource) when { resource.writer == principal.id };";
    let error = gates(vec![gated(renamed, &homes, &roles)]);
    assert!(holdfast_domain::causes(&error).to_string().contains("writer"), "{error:?}");
}
