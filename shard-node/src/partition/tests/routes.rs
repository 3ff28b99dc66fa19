//! Who gets a partition, and what the others are told.

use std::{collections::BTreeMap, sync::Arc};

use holdfast_consensus::{Member, Pin};
use holdfast_domain::{GroupDescriptor, GroupId, MapEpoch, NodeId, Reason, ReplicaId};
use holdfast_sys_core::{
    Caller,
    errors::Refusal,
    gate::HomeAccess,
    module::{Freshness, Op, RouteInfo},
};

use super::support::*;
use crate::machine::{Command, MoveCommand, Outcome};

async fn refused(node: &Node, route: RouteInfo) -> Refusal {
    match node.host.partition(&access(1, 1), route).await {
        Ok(home) => home.get(&name(["a"])).await.unwrap_err(),
        Err(refusal) => refusal,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_have_a_home() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let id = NodeId::new([1; 16]);
    for other in
        [Caller::Anonymous, Caller::Node(id), Caller::Registry(id), Caller::Operator("ann".parse().unwrap())]
    {
        let refusal = HomeAccess::own(&other).unwrap_err();
        assert_eq!(refusal.reason(), Reason::NotPermitted);
    }
    let home = node.home(4).await;
    assert_eq!((home.home(), home.quota_bytes()), (account_id(4).into(), 1 << 30));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_the_right_group_is_good_whatever_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    *node.map.0.lock().unwrap() = Some(signed_map(7, vec![descriptor()]));
    for epoch in [0, 7, 99] {
        let route = RouteInfo { map_epoch: MapEpoch(epoch), ..ROUTE };
        let home = node.host.partition(&access(1, 1), route).await.unwrap();
        assert!(home.get(&name(["a"])).await.is_ok());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_elsewhere_gets_the_newer_map_if_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let elsewhere = RouteInfo { group: GroupId(8), ..ROUTE };
    assert_eq!(refused(&node, elsewhere).await.reason(), Reason::WrongGroup);
    let map = signed_map(5, vec![descriptor()]);
    *node.map.0.lock().unwrap() = Some(Arc::clone(&map));
    let refusal = refused(&node, elsewhere).await;
    assert_eq!((refusal.reason(), refusal.newer_epoch()), (Reason::StaleMap, Some(MapEpoch(5))));
    assert_eq!(refusal.newer_map(), Some(&map.signed));
    let known = RouteInfo { map_epoch: MapEpoch(5), ..elsewhere };
    assert_eq!(refused(&node, known).await.reason(), Reason::WrongGroup);
    let newer = RouteInfo { map_epoch: MapEpoch(6), ..elsewhere };
    assert_eq!(
        refused(&node, newer).await.reason(),
        Reason::NotReady,
        "the node has yet to hear of that map"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_handed_over_or_is_not_to_be_believed_or_leads_nowhere_serves_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let shard = node.node.groups.remove(GROUP).unwrap();
    assert_eq!(refused(&node, ROUTE).await.reason(), Reason::WrongGroup);
    node.node.groups.insert(Arc::clone(&shard));
    assert!(home.get(&name(["a"])).await.is_ok());
    *node.map.0.lock().unwrap() = Some(signed_map(4, vec![descriptor()]));
    node.node.groups.quarantine(GROUP);
    assert_eq!(refused(&node, ROUTE).await.reason(), Reason::NotReady);
    node.node.groups.insert(shard);
    node.shard.raft().shutdown().await;
    assert!(matches!(refused(&node, ROUTE).await.reason(), Reason::NoQuorum | Reason::NotReady));
    let written = home.commit(fresh_id(), vec![], vec![]).await.unwrap_err();
    assert!(matches!(written.reason(), Reason::NoQuorum | Reason::NotReady), "{written}");
    node.stop().await;
}

/// The source's half of a move of slots, up to the moment in which nobody serves them.
async fn freeze_all(node: &Node) {
    let (since, slots) = (MapEpoch(4), descriptor().slots);
    let begin = MoveCommand::BeginMove {
        since,
        to: GroupId(9),
        slots,
        lineage: holdfast_domain::Lineage(0),
        transfer_key: [1; 32],
    };
    for command in [begin, MoveCommand::FreezeSlots { since }] {
        let term = node.shard.term().unwrap();
        assert_eq!(node.shard.propose(term, &Command::Move(command)).await.unwrap(), Outcome::Applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_left_the_group_is_served_no_more_by_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let home = node.home(1).await;
    let put = || vec![Op::Put { key: name(["a"]), value: "x".into() }];
    home.commit(fresh_id(), vec![], put()).await.unwrap();
    freeze_all(&node).await;
    *node.map.0.lock().unwrap() = Some(signed_map(4, vec![descriptor()]));
    assert_eq!(home.get(&name(["a"])).await.unwrap_err().reason(), Reason::NotReady, "on its way");
    let refusal = home.commit(fresh_id(), vec![], put()).await.unwrap_err();
    assert_eq!(refusal.reason(), Reason::NotReady);
    *node.map.0.lock().unwrap() = Some(signed_map(5, vec![]));
    let refusal = home.get(&name(["a"])).await.unwrap_err();
    assert_eq!((refusal.reason(), refusal.newer_epoch()), (Reason::StaleMap, Some(MapEpoch(5))));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_by_a_stale_read() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let route = RouteInfo { freshness: Freshness::Within(SOON), ..ROUTE };
    let home = node.host.partition(&access(1, 1), route).await.unwrap();
    assert!(home.get(&name(["a"])).await.is_ok());
    let written = home.commit(fresh_id(), vec![], vec![]).await.unwrap_err();
    assert_eq!(written.reason(), Reason::Malformed);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_map_gives_us_and_that_is_not_active_yet_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path()).await;
    let group = GroupId(9);
    let state = crate::machine::GroupState::open(
        Arc::clone(&node.engine),
        crate::machine::GroupKeys::new(
            CLUSTER,
            group,
            holdfast_domain::KeyGeneration(1),
            holdfast_keys::Dmk::from_bytes([8; 32]),
        ),
    )
    .unwrap();
    let raft = node.groups.start(group, ReplicaId(2), state.machine()).await.unwrap();
    let member = Member { node: NodeId::new([2; 16]), address: "here:1".into(), pin: Pin::Certificate };
    raft.bootstrap(BTreeMap::from([(ReplicaId(2), member)])).await.unwrap();
    raft.wait_leading(SOON).await.unwrap();
    let segments = Arc::clone(node.shard.segments());
    let shard = crate::partition::ShardGroup::open(raft, state, segments, node.node.clock.clone());
    node.node.groups.insert(shard);
    *node.map.0.lock().unwrap() = Some(signed_map(4, vec![GroupDescriptor { group, ..descriptor() }]));
    let refusal = refused(&node, RouteInfo { group, ..ROUTE }).await;
    assert_eq!(refusal.reason(), Reason::NotReady);
    node.stop().await;
}
