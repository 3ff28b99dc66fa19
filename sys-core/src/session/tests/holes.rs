//! A hole of systems like this one, tried with its original attacks.

use holdfast_domain::{BanSubject, Reason};

use super::support::*;

/// Tokens that never expire; a refresh that signs the old claims again; accounts that go on after they were disabled; a token that a
/// server without a secret takes from anybody.
#[tokio::test]
async fn hole_08_tokens_outlive_everything_and_anybody_makes_them() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    let request = connection.request(&client, &world, Wanted::Connection).await;
    let session = connection.send(request.clone()).await.unwrap();
    let token = session.session.clone();
    let held = connection.with(&token);

    // It ends, however often it is used, and whatever end was asked for.
    for _ in 0..5 {
        assert_eq!(held.call(CALL, b"").await, Ok(caller()));
        world.pass(59_999);
    }
    assert_eq!(held.call(CALL, b"").await, Ok(caller()));
    world.pass(5);
    assert_eq!(held.call(CALL, b"").await, Err(Reason::SessionUnknown));
    // Nothing that was sent brings it back: there is no refreshing, only another signature over another nonce.
    assert_eq!(connection.send(request).await, Err(Reason::ChallengeUnknown));
    assert_eq!(held.call("/holdfast.session.v1.Sessions/Refresh", b"").await, Err(Reason::UnknownMethod));
    let again = connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
    assert_ne!(again.session, token);
    let held = connection.with(&again.session);

    // A disabled account's session is over with the next call, and there is no other.
    assert_eq!(held.call(CALL, b"").await, Ok(caller()));
    world.bans.replace([BanSubject::Account(ACCOUNT)].into()).unwrap();
    assert_eq!(held.call(CALL, b"").await, Err(Reason::Banned));
    assert_eq!(connection.sign_in(&client, &world, Wanted::Connection).await, Err(Reason::Banned));
    world.bans.replace([].into()).unwrap();

    // Made up, cut short, empty: no token says anything by itself.
    for forged in [&[0_u8; 32][..], &[0xff; 32], &again.session[..31], &[]] {
        assert_eq!(connection.with(forged).call(CALL, b"").await, Err(Reason::SessionUnknown));
    }
    let jwt = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJyb2xlIjoiYWRtaW4ifQ.";
    let unsigned = connection.with_header("holdfast-session", jwt);
    assert_eq!(unsigned.call(CALL, b"").await, Err(Reason::SessionUnknown));

    // It does not outlive the certificate.
    world.pass(3_600_000 - 5 * 59_999 - 5 - 60_000);
    let last = connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
    let certificate = (world.cluster.now.0 + 3_600_000) / 1000 * 1000;
    assert_eq!(last.expires_ms, certificate);
    world.pass(60_000);
    assert_eq!(connection.with(&last.session).call(CALL, b"").await, Err(Reason::SessionUnknown));
    let late = connection.sign_in(&client, &world, Wanted::Connection).await;
    assert_eq!(late, Err(Reason::IdentityExpired));
}
