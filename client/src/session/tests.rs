//! Sessions with a real node's request layer, over real TLS.

use std::sync::Arc;

use holdfast_certs::{
    AcceptLimits, ClientAuth, Dialer, ExpectedServer, LiveIdentity, PinnedPeers, ServerTls,
    testing::TestCluster,
};
use holdfast_domain::{AccountId, BanSubject, ClientId, Home, NodeId, Reason};
use holdfast_keys::ClientKey;
use holdfast_proto::session::v1::{SignOutRequest, sessions_client::SessionsClient};
use holdfast_sys_core::{BanList, Clock, PlatformServer, session::SessionSettings};
use tokio::net::TcpListener;

use super::*;
use crate::ErrorKind;

const NODE: NodeId = NodeId::new([8; 16]);
const CLIENT: ClientId = ClientId::new([1; 16]);
const ORIGIN: &str = "https://app.example.com";

struct World {
    cluster: TestCluster,
    address: String,
    bans: BanList,
    signer: Signer,
    served: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn world() -> World {
    let cluster = TestCluster::fresh().unwrap();
    let (bans, id) = (BanList::new(), cluster.root.certificate().cluster());
    let settings = SessionSettings {
        cluster: id,
        node: NODE,
        trust: cluster.trust(),
        web_origins: [ORIGIN.parse().unwrap()].into(),
    };
    let domain = "test".parse().unwrap();
    let server = PlatformServer::builder(domain, bans.clone(), PinnedPeers::none(), Clock::system())
        .sessions(settings)
        .build()
        .await
        .unwrap();
    let tls = ServerTls::new(
        cluster.node(NODE).unwrap(),
        cluster.trust(),
        ClientAuth::Optional,
        PinnedPeers::none(),
    )
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        let _ = server.serve(listener, tls, AcceptLimits::default(), std::future::pending()).await;
    });
    let key = Arc::new(ClientKey::generate().unwrap());
    let home = Home { account: AccountId::new([2; 16]), quota_bytes: 1 };
    let identity: LiveIdentity = cluster.client(CLIENT, home, Arc::clone(&key)).unwrap();
    World { address, bans, signer: Signer { cluster: id, identity, key }, served, cluster }
}

impl World {
    async fn connect(&self) -> Connected {
        let dialer = Dialer::new(self.cluster.trust(), None);
        let dialed = dialer.connect(&self.address, &ExpectedServer::Node(NODE)).await.unwrap();
        Connected { channel: dialed.channel, exporter: dialed.exporter, node: NODE }
    }

    async fn open(&self, bound: Bound) -> Result<Session, Error> {
        Session::open(self.signer.clone(), self.connect().await, bound).await
    }
}

/// A call that needs a session, and ends it at the node without this end's knowing.
async fn call(session: &Session) -> Result<(), Status> {
    SessionsClient::new(session.channel()).sign_out(SignOutRequest {}).await.map(|_| ())
}

#[tokio::test]
async fn both_kinds_are_opened_used_and_ended() {
    let world = world().await;
    for bound in [Bound::Connection, Bound::Origin(ORIGIN.to_owned())] {
        let session = world.open(bound).await.unwrap();
        assert!(session.expires().await.is_some());
        session.sign_out().await.unwrap();
    }
}

#[tokio::test]
async fn after_the_node_forgot_a_session_the_next_call_but_one_signs_in_again() {
    let world = world().await;
    let session = world.open(Bound::Connection).await.unwrap();
    call(&session).await.unwrap();
    let refused = call(&session).await.unwrap_err();
    assert!(matches!(Answer::of(&refused), Answer::Refused { reason: Reason::SessionUnknown, .. }));
    assert!(session.expires().await.is_none());
    call(&session).await.unwrap();
}

#[tokio::test]
async fn refusals_to_sign_in_have_their_reasons() {
    let world = world().await;
    let kind = async |world: &World, bound| world.open(bound).await.map(|_| ()).unwrap_err().kind();
    let foreign = Bound::Origin("https://evil.example.com".to_owned());
    assert_eq!(kind(&world, foreign).await, ErrorKind::Refused(Reason::NotPermitted));
    world.bans.replace([BanSubject::Client(CLIENT)].into()).unwrap();
    assert_eq!(kind(&world, Bound::Connection).await, ErrorKind::Refused(Reason::Banned));
}

#[tokio::test]
async fn what_a_call_cannot_sign_in_for_is_the_calls_refusal() {
    let world = world().await;
    let session = world.open(Bound::Connection).await.unwrap();
    call(&session).await.unwrap();
    let _ = call(&session).await;
    world.bans.replace([BanSubject::Client(CLIENT)].into()).unwrap();
    let refused = call(&session).await.unwrap_err();
    assert!(refused.message().contains("[banned]"), "{refused:?}");
}

#[test]
fn at_half_of_its_life_a_session_is_old() {
    assert!(Held::new([0; 32], UnixMs(300_000), UnixMs(0)).is_young());
    assert!(!Held::new([0; 32], UnixMs(300_000), UnixMs(300_000)).is_young());
    assert!(!Held::new([0; 32], UnixMs(0), UnixMs(300_000)).is_young(), "a node with a strange clock");
}
