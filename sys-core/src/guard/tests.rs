use std::sync::Mutex;

use holdfast_certs::{Peer, PinnedPeers};
use holdfast_domain::{
    AccountId, Audience, BanSubject, ClientId, Home, NodeId, Reason, Rule, SpiffeSubject, UnixMs,
};
use tonic::{Code, Status};

use super::*;
use crate::{
    BanList, Caller, Clock,
    gate::Gates,
    testing::{AuditLog, TRUST_DOMAIN, identity, peer},
};

const WATCH: &str = "/holdfast.registry.v1.Directory/Watch";
const BOOTSTRAP: &str = "/holdfast.registry.v1.Directory/Bootstrap";

/// Remembers the callers that got through.
#[derive(Clone, Default)]
struct Handler(Arc<Mutex<Vec<Option<Caller>>>>);

impl Service<Request<Body>> for Handler {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.lock().unwrap().push(request.extensions().get().cloned());
        std::future::ready(Ok(Response::new(Body::empty())))
    }
}

struct Setup {
    guarded: Guarded<Handler>,
    handler: Handler,
    bans: BanList,
}

fn setup_at(now: UnixMs) -> Setup {
    let bans = BanList::new();
    let clock = Clock::new(move || now);
    let authenticator =
        Authenticator::new(TRUST_DOMAIN.parse().unwrap(), bans.clone(), PinnedPeers::none(), clock);
    let rules =
        RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS, &crate::rules::tests::notes()]).unwrap();
    let handler = Handler::default();
    Setup {
        guarded: Guard::new(rules, authenticator, Gates::default(), None).layer(handler.clone()),
        handler,
        bans,
    }
}

fn setup() -> Setup {
    setup_at(UnixMs(0))
}

impl Setup {
    /// The refusal's reason, or the caller that the handler saw.
    async fn call(&mut self, path: &str, peer: Option<Peer>) -> Result<Caller, Reason> {
        let mut request = Request::builder().method("POST").uri(path).body(Body::empty()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let response = self.guarded.call(request).await.unwrap();
        let through = self.handler.0.lock().unwrap().pop();
        match Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok) {
            Some(status) => {
                assert_eq!(through, None, "refused and yet handed on");
                Err(Refusal::from_status(&status).unwrap().reason())
            }
            None => Ok(through.unwrap().unwrap()),
        }
    }
}

fn callers() -> Vec<(&'static str, Peer, Option<Audience>)> {
    let (node, account) = (NodeId::new([1; 16]), AccountId::new([2; 16]));
    let module = SpiffeSubject::Module { name: "m".parse().unwrap(), instance: "1".parse().unwrap() };
    let client = SpiffeSubject::Client(ClientId::new([3; 16]));
    vec![
        ("anonymous", peer(None), None),
        ("module", peer(Some(identity(module, None))), Some(Audience::Module)),
        (
            "client",
            peer(Some(identity(client, Some(Home { account, quota_bytes: 0 })))),
            Some(Audience::Client),
        ),
        ("node", peer(Some(identity(SpiffeSubject::Node(node), None))), Some(Audience::Node)),
        ("registry", peer(Some(identity(SpiffeSubject::Registry(node), None))), Some(Audience::Registry)),
        (
            "operator",
            peer(Some(identity(SpiffeSubject::Operator("ann".parse().unwrap()), None))),
            Some(Audience::Operator),
        ),
    ]
}

#[tokio::test]
async fn invariant_every_method_lets_in_exactly_the_callers_that_its_rule_names() {
    let mut setup = setup();
    let rules = RuleTable::from_descriptors(&[holdfast_proto::DESCRIPTORS]).unwrap();
    let methods: Vec<(String, Rule)> =
        rules.methods().map(|method| (method.path.clone(), method.admits.clone())).collect();
    for (path, rule) in methods {
        for (name, peer, audience) in callers() {
            let named = rule.names(Audience::Public) || audience.is_some_and(|audience| rule.names(audience));
            let expected = match (named, name) {
                (true, _) => None,
                (false, "anonymous") => Some(Reason::Unauthenticated),
                (false, _) => Some(Reason::NotPermitted),
            };
            assert_eq!(setup.call(&path, Some(peer)).await.err(), expected, "{name} calls {path}");
        }
    }
}

#[tokio::test]
async fn a_method_that_policies_decide_is_reached_by_clients_only() {
    let mut setup = setup();
    for (name, peer, audience) in callers() {
        let expected = match name {
            // Past the caller's kind, where the request's route is asked for.
            "client" => Reason::Malformed,
            "anonymous" => Reason::Unauthenticated,
            _ => Reason::NotPermitted,
        };
        assert_eq!(expected == Reason::Malformed, audience == Some(Audience::Client));
        assert_eq!(setup.call("/notes.v1.Notes/Get", Some(peer)).await.err(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn unknown_paths_are_unimplemented_whoever_asks() {
    let mut setup = setup();
    for path in [
        "/holdfast.registry.v1.Directory/Watch/",
        "/holdfast.registry.v1.directory/watch",
        "/holdfast.registry.v1.Directory/%57atch",
        "/holdfast.registry.v1.Directory/Watch?a=b",
        "/holdfast.registry.v1.Directory//Watch",
        "/",
        "/metrics",
    ] {
        for (_, peer, _) in callers() {
            assert_eq!(setup.call(path, Some(peer)).await, Err(Reason::UnknownMethod), "{path}");
        }
    }
    assert_eq!(setup.call("/x/y", None).await, Err(Reason::UnknownMethod));
    assert_eq!(crate::errors::grpc_code(Reason::UnknownMethod), Code::Unimplemented);
}

#[tokio::test]
async fn a_listener_that_proves_nothing_lets_nobody_in() {
    assert_eq!(setup().call(BOOTSTRAP, None).await, Err(Reason::Internal));
}

#[tokio::test]
async fn where_there_are_no_sessions_none_is_known() {
    let mut setup = setup();
    let node = SpiffeSubject::Node(NodeId::new([1; 16]));
    for (peer, expected) in
        [(peer(None), Reason::SessionUnknown), (peer(Some(identity(node, None))), Reason::Malformed)]
    {
        let mut request = Request::builder().method("POST").uri(BOOTSTRAP).body(Body::empty()).unwrap();
        request.headers_mut().insert("holdfast-session", http::HeaderValue::from_static("x"));
        request.extensions_mut().insert(peer);
        let response = setup.guarded.call(request).await.unwrap();
        let status = Status::from_header_map(response.headers()).unwrap();
        assert_eq!(Refusal::from_status(&status).unwrap().reason(), expected);
    }
}

#[tokio::test]
async fn a_ban_is_checked_for_every_call_and_public_methods_are_no_way_round() {
    let mut setup = setup();
    let node = NodeId::new([1; 16]);
    let caller = || Some(peer(Some(identity(SpiffeSubject::Node(node), None))));
    assert_eq!(setup.call(WATCH, caller()).await, Ok(Caller::Node(node)));
    setup.bans.replace([BanSubject::Node(node)].into()).unwrap();
    assert_eq!(setup.call(WATCH, caller()).await, Err(Reason::Banned));
    assert_eq!(setup.call(BOOTSTRAP, caller()).await, Err(Reason::Banned));
}

#[tokio::test]
async fn an_expired_identity_is_anonymous_to_public_methods_and_nothing_to_others() {
    let mut setup = setup_at(crate::testing::NOT_AFTER);
    let caller = || Some(peer(Some(identity(SpiffeSubject::Node(NodeId::new([1; 16])), None))));
    assert_eq!(setup.call(WATCH, caller()).await, Err(Reason::IdentityExpired));
    assert_eq!(setup.call(BOOTSTRAP, caller()).await, Ok(Caller::Anonymous));
}

#[tokio::test]
async fn each_decision_is_one_audit_event() {
    let log = AuditLog::default();
    let _recording = log.record();
    let mut setup = setup();
    let node = SpiffeSubject::Node(NodeId::new([1; 16]));
    let _ = setup.call(WATCH, Some(peer(Some(identity(node, None))))).await;
    let _ = setup.call(WATCH, Some(peer(None))).await;
    let _ = setup.call("/secret-looking/path", Some(peer(None))).await;
    let events = log.events();
    assert_eq!(events.len(), 3, "{events:?}");
    let id = "01".repeat(16);
    let has = |event: usize, parts: &[&str]| {
        for part in parts {
            assert!(events[event].contains(part), "{part} is not in {}", events[event]);
        }
    };
    has(0, &["decision=allow", "rule=allow:node+registry", WATCH, &format!("caller=node/{id}")]);
    has(1, &["decision=deny", WATCH, "caller=anonymous", "reason=unauthenticated"]);
    has(2, &["decision=deny", "method=unknown", "reason=unknown_method"]);
    assert!(!events[2].contains("secret"));
}

/// Calls a service that panics in the given way.
async fn panicking<F>(call: impl FnOnce() -> F) -> Response<Body>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    contain::response(contain::start(call)).await.unwrap()
}

fn assert_internal_without_text(status: &Status) {
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), Reason::Internal.text());
    assert!(!format!("{status:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_panic_before_during_or_after_the_response_is_internal_without_text() {
    let header = |response: Response<Body>| Status::from_header_map(response.headers()).unwrap();
    let before = panicking(|| -> std::future::Ready<_> { panic!("hunter2") }).await;
    assert_internal_without_text(&header(before));
    let during = panicking(|| async { panic!("hunter2") }).await;
    assert_internal_without_text(&header(during));

    struct Bomb;
    impl http_body::Body for Bomb {
        type Data = bytes::Bytes;
        type Error = Status;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
            panic!("hunter2")
        }
    }
    let after = panicking(|| async { Ok(Response::new(Body::new(Bomb))) }).await;
    let mut body = after.into_body();
    let frame =
        std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await;
    let trailers = frame.unwrap().unwrap().into_trailers().unwrap();
    assert_internal_without_text(&Status::from_header_map(&trailers).unwrap());
    let end = std::future::poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await;
    assert!(end.is_none());
}

#[tokio::test]
async fn statuses_that_are_no_refusals_keep_their_text_to_themselves() {
    let answer = |status: Status| async move {
        let response = contain::response(contain::start(|| async { Ok(status.into_http()) })).await.unwrap();
        Status::from_header_map(response.headers()).unwrap()
    };
    assert_internal_without_text(&answer(Status::internal("hunter2")).await);
    assert_internal_without_text(&answer(Status::unknown("Exception calling application: hunter2")).await);
    let undecodable = prost::DecodeError::new_unexpected_type_url("hunter2", "other");
    let answered = answer(Status::internal(undecodable.to_string())).await;
    assert_eq!(Refusal::from_status(&answered).unwrap().reason(), Reason::Malformed);
    assert!(!format!("{answered:?}").contains("hunter2"));
    let own = answer(Refusal::new(Reason::NotFound).into()).await;
    assert_eq!(Refusal::from_status(&own).unwrap().reason(), Reason::NotFound);
    let said = answer(Status::invalid_argument("a module server's own words")).await;
    assert_eq!(said.message(), "a module server's own words");
}

#[tokio::test]
async fn details_that_would_make_clients_panic_reach_none() {
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status-details-bin", "hunter2 is no base64".parse().unwrap());
    for code in ["0", "2", "5", "13", "hunter2"] {
        trailers.insert("grpc-status", code.parse().unwrap());
        let head = {
            let mut response = Response::new(Body::empty());
            *response.headers_mut() = trailers.clone();
            contain::response(contain::start(|| async { Ok(response) })).await.unwrap()
        };
        assert_internal_without_text(&Status::from_header_map(head.headers()).unwrap());
        let tail =
            http_body_util::StreamBody::new(futures::stream::iter([Ok::<_, Status>(http_body::Frame::<
                bytes::Bytes,
            >::trailers(
                trailers.clone()
            ))]));
        let response = Response::new(Body::new(tail));
        let response = contain::response(contain::start(|| async { Ok(response) })).await.unwrap();
        let collected = http_body_util::BodyExt::collect(response.into_body()).await.unwrap();
        assert_internal_without_text(&Status::from_header_map(collected.trailers().unwrap()).unwrap());
    }
}
