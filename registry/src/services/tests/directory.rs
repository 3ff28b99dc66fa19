//! Bootstrap, resolve and watch.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _};
use holdfast_domain::{AccountId, BanSubject, NodeId, NodeRole, OperatorRequest, Reason, Slot, codec};
use holdfast_proto::registry::v1::{
    BootstrapRequest, ResolveRequest, WatchEvent, WatchRequest, directory_server::Directory as _,
};
use holdfast_sys_core::{Caller, Refusal};
use tokio::time::timeout;
use tonic::Status;

use holdfast_registry_state::{Act, StandingChange};

use super::world::{CLUSTER, World, from, reason};
use crate::services::directory::DirectoryService;
use crate::voter::place::place;

async fn served() -> (World, DirectoryService) {
    let world = World::new().await;
    let service = DirectoryService::new(Arc::clone(&world.core));
    (world, service)
}

fn resolve(home: AccountId, min_map_epoch: u64) -> tonic::Request<ResolveRequest> {
    let home = home.as_bytes().to_vec().into();
    from(Caller::Operator("ann".parse().unwrap()), ResolveRequest { home, min_map_epoch })
}

type Events = std::pin::Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

async fn watch(service: &DirectoryService, node: NodeId) -> Events {
    service.watch(from(Caller::Node(node), WatchRequest {})).await.unwrap().into_inner()
}

async fn next(events: &mut Events) -> WatchEvent {
    timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test]
async fn strangers_learn_bundle_voters_and_time() {
    let (world, service) = served().await;
    let request = from(Caller::Anonymous, BootstrapRequest {});
    let reply = service.bootstrap(request).await.unwrap().into_inner();
    let bundle = reply.bundle.unwrap();
    assert_eq!(bundle.root_der, world.bundle.root_der());
    assert!(bundle.genesis.is_some());
    assert_eq!(reply.voters[0].node_id.as_ref(), world.core.me().as_bytes());
    assert_eq!(reply.server_time_ms, world.core.now().0);
}

#[tokio::test]
async fn a_home_resolves_to_the_group_of_its_slot() {
    let (world, service) = served().await;
    let home = AccountId::new([3; 16]);
    assert_eq!(reason(service.resolve(resolve(home, 0)).await), Reason::NotReady);
    world.member(NodeRole::Node).await;
    world.create_groups(4).await;
    let reply = service.resolve(resolve(home, 99)).await.unwrap().into_inner();
    let state = world.core.state();
    let (signed, map) = state.map().unwrap();
    assert_eq!(reply.group, map.group_of(Slot::of_home(CLUSTER, home)).unwrap().group.0);
    assert_eq!(reply.map.unwrap().bytes, signed.bytes);
}

#[tokio::test]
async fn a_watcher_sees_everything_at_first_and_then_each_change() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    let mut events = watch(&service, machine.node()).await;
    let first = next(&mut events).await;
    assert_eq!((first.voters.len(), first.pcr_approvals.len(), first.bans.len()), (1, 2, 0));
    assert!(first.map.is_none() && first.drops.is_empty());

    world.create_groups(2).await;
    let second = next(&mut events).await;
    assert!(second.index > first.index && second.map.is_some());

    let other = world.member(NodeRole::Node).await;
    let lost = Act::Standing { node: machine.node(), change: StandingChange::Lost };
    world.core.propose(world.core.myself(), lost).await.unwrap();
    place(&world.core).await;
    let mut drops = Vec::new();
    while drops.len() < 2 {
        drops = next(&mut events).await.drops;
    }
    assert_eq!(drops.iter().map(|drop| drop.group).collect::<Vec<_>>(), [1, 2], "founded elsewhere");

    let ban = BanSubject::Node(other.node());
    world.ask(OperatorRequest::Ban(ban.clone())).await.unwrap();
    let mut third = next(&mut events).await;
    while third.bans.is_empty() {
        third = next(&mut events).await;
    }
    assert_eq!(codec::decode::<BanSubject>(&third.bans[0], 4096), Ok(ban));
}

#[tokio::test]
async fn changes_that_nobody_sees_wake_nobody_and_many_are_seen_together() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    let mut events = watch(&service, machine.node()).await;
    next(&mut events).await;
    world.allow(&machine, NodeRole::Node).await;
    assert!(timeout(Duration::from_millis(200), events.next()).await.is_err(), "an admission is not shown");
    for id in 1..=50 {
        world.ask(OperatorRequest::Ban(BanSubject::Account(AccountId::new([id; 16])))).await.unwrap();
    }
    let mut seen = 0;
    while next(&mut events).await.bans.len() < 50 {
        seen += 1;
    }
    assert!(seen < 25, "{seen} views of 50 changes");
}

#[tokio::test]
async fn a_late_watcher_gets_the_index_of_its_moment() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    let first = next(&mut watch(&service, machine.node()).await).await;
    world.allow(&machine, NodeRole::Node).await;
    let later = next(&mut watch(&service, machine.node()).await).await;
    assert!(later.index > first.index, "a watcher that comes from another voter must not call it old");
}

#[tokio::test]
async fn the_watch_of_a_banned_machine_ends() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    let mut events = watch(&service, machine.node()).await;
    next(&mut events).await;
    world.ask(OperatorRequest::Ban(BanSubject::Node(machine.node()))).await.unwrap();
    let last = timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
    assert_eq!(Refusal::from_status(&last.unwrap_err()).unwrap().reason(), Reason::Banned);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_quiet_watch_is_heard_of_each_second_and_ends_when_the_server_stops() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    world.create_groups(2).await;
    let mut events = watch(&service, machine.node()).await;
    let first = next(&mut events).await;
    assert!(first.map.is_some());
    let again = timeout(Duration::from_secs(2), events.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(again, WatchEvent { map: None, ..first }, "the map is known");
    world.core.stopping().begin();
    assert!(timeout(Duration::from_millis(200), events.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_voter_that_is_cut_off_keeps_no_watcher_and_takes_none() {
    let (world, service) = served().await;
    let machine = world.member(NodeRole::Node).await;
    let mut events = watch(&service, machine.node()).await;
    next(&mut events).await;
    world.cut_off(true);
    let ended = async { while events.next().await.is_some() {} };
    timeout(Duration::from_secs(2), ended).await.expect("a silent watch");
    let request = || from(Caller::Node(machine.node()), WatchRequest {});
    assert_eq!(reason(service.watch(request()).await.map(drop)), Reason::NotReady);
    world.cut_off(false);
    let back = async { while service.watch(request()).await.is_err() {} };
    timeout(Duration::from_secs(2), back).await.unwrap();
    // A round that began before may still end one watch.
    let heard = async { while watch(&service, machine.node()).await.next().await.is_none() {} };
    timeout(Duration::from_secs(2), heard).await.unwrap();
}
