//! Three voters of the registry's group over real sockets and TLS, keys pinned in the membership.

#![allow(clippy::unwrap_used, reason = "support of tests only")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_certs::testing::TestCluster;
use holdfast_certs::{
    AcceptLimits, ClientAuth, Connections, Dialer, LiveIdentity, PinnedPeers, ServerTls, incoming,
};
use holdfast_consensus::{Groups, Member, Options, Pin, TlsConnector, TlsPeerAuth};
use holdfast_domain::{GroupId, ReplicaId};
use holdfast_keys::LocalKey;
use support::{Counter, Net, SOON, node_id};
use tokio::net::TcpListener;

async fn serve(cluster: &TestCluster, identity: &LiveIdentity, listener: TcpListener, groups: &Groups) {
    let tls =
        ServerTls::new(identity.clone(), cluster.trust(), ClientAuth::Optional, PinnedPeers::none()).unwrap();
    let incoming = incoming(listener, tls, Connections::new(), AcceptLimits::default());
    let service = groups.service(Arc::new(TlsPeerAuth::new(|_| false)));
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
}

#[tokio::test(flavor = "multi_thread")]
async fn voters_replicate_over_mutual_tls() {
    let cluster = TestCluster::fresh().unwrap();
    let mut members = BTreeMap::new();
    let mut voters = Vec::new();
    for number in 1..=3_u8 {
        let identity = cluster.registry(node_id(number)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let pin = Pin::Key(identity.current().peer_identity().spki_hash);
        members.insert(ReplicaId(number.into()), Member { node: node_id(number), address, pin });
        voters.push((identity, listener));
    }
    let mut running = Vec::new();
    for ((identity, listener), number) in voters.into_iter().zip(1..) {
        let dir = tempfile::tempdir().unwrap();
        let connector = TlsConnector::new(Dialer::new(cluster.trust(), Some(identity.clone())));
        let key = LocalKey::from_bytes([number; 32]);
        let options = Options::new(dir.path());
        let groups = Groups::open(options, key, Arc::new(connector), Arc::new(Net::default())).await.unwrap();
        serve(&cluster, &identity, listener, &groups).await;
        let machine = Counter::default();
        let replica = ReplicaId(number.into());
        let group = groups.start(GroupId::REGISTRY, replica, Box::new(machine.clone())).await.unwrap();
        group.bootstrap(members.clone()).await.unwrap();
        running.push((dir, groups, group, machine));
    }
    for (_, _, group, _) in &running {
        group.wait_leader(SOON).await.unwrap();
        group.propose(group.replica().0.to_be_bytes().to_vec()).await.unwrap();
    }
    for (_, _, group, machine) in &running {
        group.read_index().await.unwrap();
        assert_eq!(machine.map.lock().unwrap().len(), 3);
    }
    for (_, groups, _, _) in &running {
        groups.shutdown().await;
    }
}
