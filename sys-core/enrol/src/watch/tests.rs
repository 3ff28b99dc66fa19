//! Watching over real TLS.

use std::{pin::Pin, time::Duration};

use holdfast_certs::{
    AcceptLimits, ClientAuth, Connections, Dialer, PinnedPeers, ServerTls, incoming, testing::TestCluster,
};
use holdfast_domain::{NodeId, codec};
use holdfast_keys::{Signer as _, SoftSigner};
use holdfast_proto::registry::v1::{
    BootstrapReply, BootstrapRequest, ResolveReply, ResolveRequest, WatchEvent,
    directory_server::{Directory, DirectoryServer},
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::*;

/// Says this once and then nothing.
#[derive(Clone)]
struct Silent(WatchEvent);

#[tonic::async_trait]
impl Directory for Silent {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapReply>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn resolve(&self, _: Request<ResolveRequest>) -> Result<Response<ResolveReply>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let once = tokio_stream::iter([Ok(self.0.clone())]);
        Ok(Response::new(Box::pin(once.chain(tokio_stream::pending()))))
    }
}

async fn serve(cluster: &TestCluster, id: u8, event: WatchEvent) -> String {
    let identity = cluster.registry(NodeId::new([id; 16])).unwrap();
    let tls = ServerTls::new(identity, cluster.trust(), ClientAuth::Optional, PinnedPeers::none()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = incoming(listener, tls, Connections::new(), AcceptLimits::default());
    let server = tonic::transport::Server::builder().add_service(DirectoryServer::new(Silent(event)));
    tokio::spawn(server.serve_with_incoming(connections));
    address
}

#[tokio::test]
async fn a_member_that_falls_silent_is_left_for_the_next_one() {
    let cluster = TestCluster::fresh().unwrap();
    let ban = BanSubject::Node(NodeId::new([9; 16]));
    let bans = vec![codec::encode(&ban).unwrap().into()];
    let addresses = vec![
        serve(&cluster, 1, WatchEvent { index: 5, ..WatchEvent::default() }).await,
        serve(&cluster, 2, WatchEvent { index: 6, bans, ..WatchEvent::default() }).await,
    ];
    let dialer = Dialer::new(cluster.trust(), Some(cluster.node(NodeId::new([3; 16])).unwrap()));
    let key = SoftSigner::generate().unwrap().public();
    let registries = Registries::new(addresses, dialer);
    let watcher = Watcher::start(registries, ClusterId::new([7; 16]), key, View::default());
    let mut view = watcher.view();
    let first = tokio::time::timeout(Duration::from_secs(5), view.wait_for(|view| view.index == 5));
    assert!(first.await.unwrap().unwrap().bans.is_empty());
    let banned = view.wait_for(|view| view.bans.contains(&ban));
    tokio::time::timeout(SILENCE + Duration::from_secs(2), banned).await.expect("no news").unwrap();
    assert!(*watcher.connected().borrow());
}

#[test]
fn a_repeated_view_is_no_news() {
    let view = View { index: 4, ..View::default() };
    assert!(view.is(&view.clone()));
    assert!(!view.is(&View { index: 5, ..View::default() }));
    let bans = [BanSubject::Node(NodeId::new([1; 16]))].into();
    assert!(!view.is(&View { bans, ..view.clone() }));
    let global_roles = Arc::new([(AccountId::new([1; 16]), Role::Admin)].into());
    assert!(!view.is(&View { global_roles, ..view.clone() }));
}
