//! What words and silence mean.

use std::time::{Duration, Instant};

use holdfast_domain::{NodeId, NodeRole, Reason};
use holdfast_proto::registry::v1::HeartbeatRequest;
use holdfast_registry_state::{Act, Standing, StandingChange};

use super::Heard;
use crate::services::tests::world::World;

const GRACE: Duration = Duration::from_secs(60);

fn heard(zone: &str) -> Heard {
    Heard::read(HeartbeatRequest { zone: zone.into(), ..HeartbeatRequest::default() }).unwrap()
}

async fn told(world: &World, now: Instant, since: Instant) -> Vec<Act> {
    let acts = world.core.health().acts(&world.core.state(), now, since, GRACE);
    for act in &acts {
        world.core.propose(world.core.myself(), act.clone()).await.unwrap();
    }
    acts
}

async fn one_node() -> (World, NodeId) {
    let world = World::new().await;
    let node = world.member(NodeRole::Node).await.node();
    (world, node)
}

#[tokio::test]
async fn a_node_is_described_once_and_again_when_it_differs() {
    let (world, node) = one_node().await;
    let now = Instant::now();
    for (zone, acts) in [("a", 1), ("a", 0), ("b", 1), ("b", 0)] {
        world.core.health().hear(node, heard(zone), now);
        assert_eq!(told(&world, now, now).await.len(), acts);
        assert_eq!(world.core.state().node_use(node).zone, zone);
    }
}

#[tokio::test]
async fn silence_counts_from_when_the_leader_began_to_listen() {
    let (world, node) = one_node().await;
    let start = Instant::now();
    assert!(told(&world, start + GRACE / 2, start).await.is_empty());
    let lost = Act::Standing { node, change: StandingChange::Lost };
    let later = start + GRACE;
    assert!(told(&world, later, start + GRACE / 2).await.is_empty(), "a new leader waits");
    assert_eq!(told(&world, later, start).await, [lost]);
    assert!(told(&world, later + GRACE, start).await.is_empty(), "said once");
    world.core.health().hear(node, heard(""), later + GRACE);
    let returned = Act::Standing { node, change: StandingChange::Returned };
    assert_eq!(told(&world, later + GRACE, start).await, [returned]);
    assert!(!world.core.state().node_use(node).lost);
}

#[tokio::test]
async fn nobody_waits_for_a_node_that_was_removed() {
    let (world, node) = one_node().await;
    let start = Instant::now();
    let removed = Act::Standing { node, change: StandingChange::Use(Standing::Removed) };
    let by_voter = world.core.propose(world.core.myself(), removed.clone()).await;
    assert_eq!(by_voter.unwrap_err().reason(), Reason::NotPermitted);
    let ann = holdfast_domain::SpiffeSubject::Operator("ann".parse().unwrap());
    world.core.propose(ann, removed).await.unwrap();
    assert!(told(&world, start + GRACE, start).await.is_empty());
}

#[tokio::test]
async fn only_nodes_that_were_heard_of_lately_get_replicas() {
    let (world, node) = one_node().await;
    let now = Instant::now();
    let alive = |at| world.core.health().observed(&world.core.state(), at).alive.contains(&node);
    assert!(!alive(now));
    world.core.health().hear(node, heard(""), now);
    assert!(alive(now) && alive(now + Duration::from_secs(5)) && !alive(now + Duration::from_secs(9)));
}
