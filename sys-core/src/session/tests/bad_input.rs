//! What a page's requests may be replaced with on their way: each is one refusal with its reason and one audit event.

use holdfast_domain::Reason;
use proptest::prelude::*;

use super::support::*;
use crate::testing::AuditLog;

const BODY: &[u8] = b"\0\0\0\0\x05hello";

#[tokio::test]
async fn whatever_was_changed_is_refused_with_one_event() {
    let world = World::new();
    let page = world.page().await;
    let secret = &page.session.session;
    let good = || page.signed(CALL, BODY, 100);
    assert_eq!(good().call(CALL, BODY).await, Ok(caller()));
    let replayed = good();
    let fresh = |counter| page.signed(CALL, BODY, counter);
    let log = AuditLog::default();
    let _recording = log.record();
    let long = vec![b'A'; 8_000];
    let streamed = [BODY, BODY].concat();
    let cases: Vec<(&str, Connection, &str, &[u8], Reason)> = vec![
        ("replayed", replayed.clone(), CALL, BODY, Reason::SessionReplayed),
        ("counter far behind", fresh(36), CALL, BODY, Reason::SessionReplayed),
        (
            "counter of another request",
            fresh(101).with_header("holdfast-counter", b"102"),
            CALL,
            BODY,
            Reason::SessionSignature,
        ),
        ("counter zero", fresh(0), CALL, BODY, Reason::Malformed),
        (
            "counter not a number",
            fresh(101).with_header("holdfast-counter", b"1e3"),
            CALL,
            BODY,
            Reason::Malformed,
        ),
        (
            "counter over-long",
            fresh(101).with_header("holdfast-counter", &long),
            CALL,
            BODY,
            Reason::Malformed,
        ),
        ("body tampered", fresh(101), CALL, b"\0\0\0\0\x05hellp", Reason::SessionSignature),
        ("body cut", fresh(101), CALL, &BODY[..7], Reason::Malformed),
        ("body empty", fresh(101), CALL, b"", Reason::Malformed),
        ("body longer", fresh(101), CALL, b"\0\0\0\0\x05hello!", Reason::Malformed),
        ("body a stream", page.signed(CALL, &streamed, 101), CALL, &streamed, Reason::Malformed),
        ("method changed", fresh(101), OTHER, BODY, Reason::SessionSignature),
        (
            "method in other case",
            fresh(101),
            "/holdfast.module.v1.capabilities/get",
            BODY,
            Reason::UnknownMethod,
        ),
        (
            "method with a slash more",
            fresh(101),
            "/holdfast.module.v1.Capabilities/Get/",
            BODY,
            Reason::UnknownMethod,
        ),
        ("no path", fresh(101), "Get", BODY, Reason::UnknownMethod),
        ("path without a slash", fresh(101), "*", BODY, Reason::UnknownMethod),
        ("method unknown", fresh(101), "/holdfast.module.v1.Capabilities/Put", BODY, Reason::UnknownMethod),
        (
            "origin changed",
            fresh(101).with_header("origin", b"https://evil.example.com"),
            CALL,
            BODY,
            Reason::SessionUnknown,
        ),
        ("origin no text", fresh(101).with_header("origin", b"\xff\xfe"), CALL, BODY, Reason::Malformed),
        ("no origin", page.connection.with(secret), CALL, BODY, Reason::SessionUnknown),
        (
            "no signature",
            page.connection.with(secret).with_header("origin", ORIGIN.as_bytes()),
            CALL,
            BODY,
            Reason::SessionSignature,
        ),
        (
            "signature over-long",
            fresh(101).with_header("holdfast-signature", &long),
            CALL,
            BODY,
            Reason::Malformed,
        ),
        (
            "signature no base64",
            fresh(101).with_header("holdfast-signature", &[b'*'; 86]),
            CALL,
            BODY,
            Reason::Malformed,
        ),
        (
            "signature not UTF-8",
            fresh(101).with_header("holdfast-signature", &[0xff; 86]),
            CALL,
            BODY,
            Reason::Malformed,
        ),
        (
            "session over-long",
            fresh(101).with_header("holdfast-session", &long),
            CALL,
            BODY,
            Reason::SessionUnknown,
        ),
        (
            "session not UTF-8",
            fresh(101).with_header("holdfast-session", b"\xff"),
            CALL,
            BODY,
            Reason::SessionUnknown,
        ),
        (
            "session empty",
            fresh(101).with_header("holdfast-session", b""),
            CALL,
            BODY,
            Reason::SessionUnknown,
        ),
        ("a right that no client has", page.signed(NODES, BODY, 101), NODES, BODY, Reason::NotPermitted),
    ];
    for (name, connection, path, body, reason) in cases {
        let before = log.events().len();
        assert_eq!(connection.call(path, body).await, Err(reason), "{name}");
        let events = log.events();
        assert_eq!(events.len(), before + 1, "{name}: {:?}", &events[before..]);
        assert!(events[before].contains("decision=deny") && events[before].contains(reason.code()), "{name}");
    }
    assert_eq!(page.call(CALL, BODY, 102).await, Ok(caller()), "and the page goes on");
}

#[tokio::test]
async fn headers_said_twice_are_refused() {
    let world = World::new();
    let page = world.page().await;
    for name in ["holdfast-session", "holdfast-counter", "holdfast-signature", "origin"] {
        let mut twice = page.signed(CALL, BODY, 1);
        let value = twice.headers[name].clone();
        twice.headers.append(name, value);
        assert_eq!(twice.call(CALL, BODY).await, Err(Reason::Malformed), "{name}");
    }
    assert_eq!(page.call(CALL, BODY, 1).await, Ok(caller()), "none of them used the counter up");
}

#[tokio::test]
async fn a_session_of_one_node_is_unknown_to_another() {
    let world = World::new();
    let page = world.page().await;
    let elsewhere = connection(&world.another_node(), 1);
    let mut taken = elsewhere.clone();
    taken.headers = page.signed(CALL, BODY, 1).headers;
    assert_eq!(taken.call(CALL, BODY).await, Err(Reason::SessionUnknown));
    // The same client has a session there, too: its requests are signed for the node that they are for.
    let session = elsewhere.sign_in(&page.client, &world, Wanted::Web).await.unwrap();
    assert_eq!(taken.with(&session.session).call(CALL, BODY).await, Err(Reason::SessionSignature));
}

#[tokio::test]
async fn the_same_request_at_once_is_one_request() {
    let world = World::new();
    let page = world.page().await;
    let signed = page.signed(CALL, BODY, 1);
    let calls = futures::future::join_all((0..20).map(|_| signed.exchange(CALL, BODY))).await;
    let through =
        calls.iter().filter(|(response, _)| !response.headers().contains_key("grpc-status")).count();
    assert_eq!(through, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn no_headers_and_no_body_panic_or_get_in(
        session in prop::collection::vec(0x20u8..0x7f, 0..60),
        counter in "\\PC{0,22}",
        signature in prop::collection::vec(0x20u8..0x7f, 0..100),
        body in prop::collection::vec(any::<u8>(), 0..40),
        known: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let page = world.page().await;
            let mut connection = page.connection.with_header("origin", ORIGIN.as_bytes());
            connection = if known { connection.with(&page.session.session) } else { connection.with_header("holdfast-session", &session) };
            if let Ok(value) = http::HeaderValue::from_bytes(counter.as_bytes()) {
                connection.headers.insert("holdfast-counter", value);
            }
            let connection = connection.with_header("holdfast-signature", &signature);
            assert!(connection.call(CALL, &body).await.is_err());
        });
    }
}
