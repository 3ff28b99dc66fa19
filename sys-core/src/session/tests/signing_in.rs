//! Who gets a session, and who does not.

use holdfast_certs::{CertChain, testing::TestCluster};
use holdfast_domain::{BanSubject, Reason, SpiffeSubject};
use holdfast_keys::{ClientKey, Signer as _, SoftSigner};
use holdfast_proto::session::v1::{SignInRequest, sign_in_request::Binding};

use super::support::*;
use crate::testing::{identity, peer};

#[tokio::test]
async fn a_session_on_a_connection_is_its_clients_and_on_no_other() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    assert_eq!(connection.call(CALL, b"").await, Err(Reason::Unauthenticated));
    let session = connection.sign_in(&client, &world, Wanted::Connection).await.unwrap();
    assert_eq!(session.expires_ms, world.now().0 + 300_000, "five minutes, whatever was asked for");
    assert_eq!(connection.with(&session.session).call(CALL, &framed(b"x")).await, Ok(caller()));
    assert_eq!(connection.call(CALL, b"").await, Err(Reason::Unauthenticated), "not by the connection alone");
    let other = world.connection(2).with(&session.session);
    assert_eq!(other.call(CALL, b"").await, Err(Reason::SessionUnknown));
    assert_eq!(connection.with(&session.session).call(NODES, b"").await, Err(Reason::NotPermitted));
}

#[tokio::test]
async fn a_session_of_a_page_is_good_with_a_signature_on_each_request() {
    let world = World::new();
    let page = world.page().await;
    for counter in [1, 2, 5, 3, 4] {
        assert_eq!(page.call(CALL, &framed(b"hello"), counter).await, Ok(caller()));
    }
    assert_eq!(page.call(OTHER, &framed(b""), 6).await, Ok(caller()));
    assert_eq!(page.call(CALL, &framed(b"hello"), 7).await, Err(Reason::SessionUnknown), "signed out");
}

#[tokio::test]
async fn a_nonce_is_answered_once_and_for_its_own_node() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    let request = connection.request(&client, &world, Wanted::Connection).await;
    assert!(connection.send(request.clone()).await.is_ok());
    assert_eq!(connection.send(request).await, Err(Reason::ChallengeUnknown));

    let late = connection.request(&client, &world, Wanted::Connection).await;
    world.pass(60_000);
    assert_eq!(connection.send(late).await, Err(Reason::ChallengeUnknown));

    let elsewhere = connection_to_another(&world);
    let relayed = connection.request(&client, &world, Wanted::Connection).await;
    assert_eq!(elsewhere.send(relayed).await, Err(Reason::ChallengeUnknown));
    // A node that asks its client to sign another node's nonce gets nothing either: the signature names the node.
    let mut relayed = connection.request(&client, &world, Wanted::Connection).await;
    relayed.nonce = elsewhere.challenge().await.nonce;
    assert_eq!(elsewhere.send(relayed).await, Err(Reason::SessionSignature));
}

fn connection_to_another(world: &World) -> Connection {
    connection(&world.another_node(), 1)
}

#[tokio::test]
async fn each_part_of_a_sign_in_is_signed_and_none_is_missing() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    let stranger = ClientKey::generate().unwrap();
    type Change = fn(&mut SignInRequest);
    let changes: [(&str, Change, Reason); 9] = [
        ("expiry", |request| request.expires_ms += 1, Reason::SessionSignature),
        ("signature", |request| request.signature = vec![0; 64].into(), Reason::SessionSignature),
        (
            "binding",
            |request| request.binding = Some(Binding::Origin(ORIGIN.into())),
            Reason::SessionSignature,
        ),
        (
            "exporter",
            |request| request.binding = Some(Binding::Connection(vec![9; 32].into())),
            Reason::SessionSignature,
        ),
        ("no binding", |request| request.binding = None, Reason::Malformed),
        ("no chain", |request| request.chain.clear(), Reason::Malformed),
        ("long chain", |request| request.chain = vec![vec![0; 5_000].into()], Reason::Malformed),
        ("no certificate", |request| request.chain = vec![vec![0; 500].into()], Reason::SessionSignature),
        ("long nonce", |request| request.nonce = vec![0; 33].into(), Reason::Malformed),
    ];
    for (name, change, reason) in changes {
        let mut request = connection.request(&client, &world, Wanted::Connection).await;
        change(&mut request);
        assert_eq!(connection.send(request).await, Err(reason), "{name}");
    }
    let stolen = Client { key: stranger, chain: client.chain };
    let refused = connection.sign_in(&stolen, &world, Wanted::Connection).await;
    assert_eq!(refused, Err(Reason::SessionSignature), "a chain is no secret");
}

#[tokio::test]
async fn only_clients_of_this_cluster_whose_certificate_holds_sign_in() {
    let world = World::new();
    let connection = world.connection(1);
    let refused = async |chain: CertChain, key| {
        connection.sign_in(&Client { key, chain }, &world, Wanted::Connection).await.unwrap_err()
    };
    // Operators and nodes may have keys of this kind; sessions are for clients.
    let key = ClientKey::generate().unwrap();
    let operator = SpiffeSubject::Operator("ann".parse().unwrap());
    let chain = world.cluster.issue(operator, key.public().into(), None).unwrap();
    assert_eq!(refused(chain, key).await, Reason::SessionSignature);
    // A client's leaf for another kind of key.
    let (key, soft) = (ClientKey::generate().unwrap(), SoftSigner::generate().unwrap());
    let chain = world.cluster.issue(SpiffeSubject::Client(CLIENT), soft.public().into(), Some(HOME)).unwrap();
    assert_eq!(refused(chain, key).await, Reason::SessionSignature);
    // Another cluster's.
    let (key, other) = (ClientKey::generate().unwrap(), TestCluster::fresh().unwrap());
    let chain = other.issue(SpiffeSubject::Client(CLIENT), key.public().into(), Some(HOME)).unwrap();
    assert_eq!(refused(chain, key).await, Reason::SessionSignature);
    // Banned.
    world.bans.replace([BanSubject::Account(ACCOUNT)].into()).unwrap();
    let Client { key, chain } = world.client();
    assert_eq!(refused(chain, key).await, Reason::Banned);
    world.bans.replace([].into()).unwrap();
    // Over.
    let Client { key, chain } = world.client();
    world.pass(3_600_001);
    assert_eq!(refused(chain, key).await, Reason::IdentityExpired);
}

#[tokio::test]
async fn pages_of_other_origins_get_no_session() {
    let world = World::new();
    let (client, connection) = (world.client(), world.connection(1));
    for origin in
        ["https://evil.example.com", "https://app.example.com.evil.com", "https://app.example.com:8443"]
    {
        let mut request = connection.request(&client, &world, Wanted::Web).await;
        request.binding = Some(Binding::Origin(origin.to_owned()));
        assert_eq!(connection.send(request).await, Err(Reason::SessionSignature), "{origin}");
        let signed = connection.request_for(&client, &world, origin).await;
        assert_eq!(connection.send(signed).await, Err(Reason::NotPermitted), "{origin}");
    }
    for origin in ["null", "*", "https://app.example.com/"] {
        let signed = connection.request_for(&client, &world, origin).await;
        assert_eq!(connection.send(signed).await, Err(Reason::Malformed), "{origin}");
    }
}

#[tokio::test]
async fn a_connection_with_a_certificate_has_no_sessions() {
    let world = World::new();
    let client = world.client();
    let session = world.connection(1).sign_in(&client, &world, Wanted::Connection).await.unwrap();
    let mut certified = world.connection(1);
    certified.peer.identity = peer(Some(identity(SpiffeSubject::Client(CLIENT), Some(HOME)))).identity;
    assert_eq!(certified.call(CALL, b"").await, Ok(caller()));
    assert_eq!(certified.with(&session.session).call(CALL, b"").await, Err(Reason::Malformed));
    let request = world.connection(1).request(&client, &world, Wanted::Connection).await;
    assert_eq!(certified.send(request).await, Err(Reason::Malformed));
    assert_eq!(certified.call(OTHER, &framed(b"")).await, Err(Reason::Malformed), "nothing to sign out of");
}
