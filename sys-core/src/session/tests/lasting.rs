//! Calls that go on while their session ends.

use std::{pin::Pin, time::Duration};

use holdfast_domain::{BanSubject, Reason};
use http_body::Body as _;
use tonic::Status;

use super::support::*;
use crate::Refusal;

/// Open to everybody, and endless here.
const STREAM: &str = "/grpc.health.v1.Health/Watch";

/// Why a stream ends, within two seconds.
async fn end_of(mut body: tonic::body::Body) -> Reason {
    let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
    let frame = tokio::time::timeout(Duration::from_secs(2), frame).await.expect("it goes on");
    let status: Status = frame.unwrap().unwrap_err();
    Refusal::from_status(&status).unwrap().reason()
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    let open = async || {
        let session = connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
        let connection = connection.with(&session.session);
        let (response, _) = connection.exchange(STREAM, &framed(b"")).await;
        (connection, response.into_body())
    };
    let (connection_out, stream) = open().await;
    assert!(connection_out.call(OTHER, &framed(b"")).await.is_ok());
    assert_eq!(end_of(stream).await, Reason::SessionUnknown, "signed out");

    let (_, stream) = open().await;
    world.bans.replace([BanSubject::Client(CLIENT)].into()).unwrap();
    assert_eq!(end_of(stream).await, Reason::Banned);
    world.bans.replace([].into()).unwrap();

    let (_, stream) = open().await;
    world.pass(300_000);
    assert_eq!(end_of(stream).await, Reason::IdentityExpired, "also where strangers may call");
}

#[tokio::test]
async fn a_clients_oldest_session_ends_when_it_has_too_many() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    let first = connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
    for _ in 0..crate::session::limits::MAX_SESSIONS_PER_CLIENT {
        assert_eq!(connection.with(&first.session).call(CALL, b"").await, Ok(caller()));
        connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
    }
    assert_eq!(connection.with(&first.session).call(CALL, b"").await, Err(Reason::SessionUnknown));
}
