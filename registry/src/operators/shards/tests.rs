//! Operators' verbs over a state without consensus.

use holdfast_domain::{NodeRole, ReplicaState};
use holdfast_proto::registry::v1::HeartbeatRequest;

use super::*;
use crate::{health::Heard, operators::lists, services::tests::world::World, voter::place::place};

const ONE: GroupId = GroupId(1);

fn ann() -> SpiffeSubject {
    SpiffeSubject::Operator("ann".parse().unwrap())
}

/// As many nodes, each in a zone of its own, that were heard of.
async fn world(nodes: usize) -> (World, Vec<NodeId>) {
    let world = World::new().await;
    let mut ids = Vec::new();
    for zone in 0..nodes {
        let node = world.member(NodeRole::Node).await.node();
        let heard = HeartbeatRequest { zone: format!("zone-{zone}"), ..HeartbeatRequest::default() };
        world.core.health().hear(node, Heard::read(heard).unwrap(), Instant::now());
        ids.push(node);
    }
    (world, ids)
}

fn set(node: NodeId, standing: pb::NodeStanding, lost: bool) -> pb::SetStandingRequest {
    pb::SetStandingRequest { node_id: node.as_bytes().to_vec().into(), standing: standing.into(), lost }
}

#[tokio::test]
async fn groups_have_three_replicas_unless_said_otherwise() {
    let (world, nodes) = world(3).await;
    let few = world.core.create_groups(&ann(), 2, 5).await.unwrap_err();
    assert_eq!(few.reason(), Reason::NotReady);
    assert_eq!(world.core.create_groups(&ann(), 2, 0).await.unwrap(), [1, 2]);
    let again = world.core.create_groups(&ann(), 2, 0).await.unwrap_err();
    assert_eq!(again.reason(), Reason::Conflict);
    let shown = lists::shards(&world.core);
    assert!(shown.groups.iter().all(|group| group.wanted == 3 && group.replicas.len() == 3));
    assert_eq!((shown.groups[0].state.as_str(), shown.groups[0].slot_ranges[0].last), ("founding", 2047));
    assert_eq!(lists::nodes(&world.core).nodes.iter().filter(|row| row.replicas == 2).count(), nodes.len());
}

#[tokio::test]
async fn a_node_is_cordoned_drained_and_removed_when_it_is_empty() {
    let (world, nodes) = world(1).await;
    world.core.create_groups(&ann(), 1, 1).await.unwrap();
    for standing in [pb::NodeStanding::Cordoned, pb::NodeStanding::Draining] {
        for _ in 0..2 {
            assert_eq!(world.core.set_standing(&ann(), &set(nodes[0], standing, false)).await.unwrap(), 1);
        }
    }
    let removed = world.core.set_standing(&ann(), &set(nodes[0], pb::NodeStanding::Removed, false)).await;
    assert_eq!(removed.unwrap_err().reason(), Reason::NotEmpty);
    let nothing = world.core.set_standing(&ann(), &set(nodes[0], pb::NodeStanding::Unspecified, false)).await;
    assert_eq!(nothing.unwrap_err().reason(), Reason::Malformed);
    world.core.set_standing(&ann(), &set(nodes[0], pb::NodeStanding::Unspecified, true)).await.unwrap();
    let row = lists::nodes(&world.core).nodes.into_iter().find(|row| row.role == "node").unwrap();
    assert_eq!((row.standing.as_str(), row.lost), ("draining", true));
    let stranger = NodeId::new([1; 16]);
    let stranger = world.core.set_standing(&ann(), &set(stranger, pb::NodeStanding::Serving, false)).await;
    assert_eq!(stranger.unwrap_err().reason(), Reason::NotFound);
}

#[tokio::test]
async fn a_move_is_shown_with_what_it_replaces_and_cancelled_once() {
    let (world, nodes) = world(2).await;
    world.core.create_groups(&ann(), 1, 1).await.unwrap();
    let from = world.core.state().map().unwrap().1.groups[0].replicas[0].clone();
    let target = *nodes.iter().find(|node| **node != from.node).unwrap();
    let early = world.core.move_replica(&ann(), ONE, &[], target.as_bytes()).await.unwrap_err();
    assert_eq!(early.reason(), Reason::Conflict, "it is not founded yet");
    let epoch = world.core.cancel_move(&ann(), ONE).await.unwrap();
    assert_eq!((epoch, world.core.cancel_move(&ann(), ONE).await.unwrap()), (1, 1), "nothing to cancel");
    let nobody = world.core.move_replica(&ann(), GroupId(9), &[], target.as_bytes()).await.unwrap_err();
    assert_eq!(nobody.reason(), Reason::NotFound);
    assert_eq!(from.state, ReplicaState::Founding);
}

#[tokio::test]
async fn what_is_founded_nowhere_is_founded_elsewhere_when_its_node_is_lost() {
    let (world, nodes) = world(2).await;
    world.core.create_groups(&ann(), 1, 1).await.unwrap();
    let lost = world.core.state().map().unwrap().1.groups[0].replicas[0].node;
    place(&world.core).await;
    assert_eq!(world.core.state().map_epoch().0, 1, "nothing to do");
    world.core.set_standing(&ann(), &set(lost, pb::NodeStanding::Unspecified, true)).await.unwrap();
    place(&world.core).await;
    let state = world.core.state();
    let now = &state.map().unwrap().1.groups[0].replicas;
    assert!(now.len() == 1 && now[0].node != lost && nodes.contains(&now[0].node));
}

#[tokio::test]
async fn slots_are_ranges_of_slots() {
    let (world, _) = world(1).await;
    world.core.create_groups(&ann(), 1, 1).await.unwrap();
    let split = async |first, last| {
        let slots = vec![pb::SlotRange { first, last }];
        world.core.split_group(&ann(), pb::SplitGroupRequest { group: 1, slots }).await
    };
    for (first, last) in [(0, 4096), (70_000, 70_001)] {
        assert_eq!(split(first, last).await.unwrap_err().reason(), Reason::Malformed);
    }
    assert_eq!(split(9, 3).await.unwrap_err().reason(), Reason::Conflict, "backwards");
    let reply = split(100, 200).await.unwrap();
    assert_eq!((reply.to, split(100, 200).await.unwrap().to), (2, 2));
    let slots = vec![pb::SlotRange { first: 100, last: 200 }];
    let waiting = pb::SlotMoveRow { from: 1, to: 2, slots, ..pb::SlotMoveRow::default() };
    assert_eq!(lists::shards(&world.core).slot_moves, [waiting], "told from the first moment on");
    world.core.give_up_slot_move(&ann(), ONE).await.unwrap();
    assert_eq!(lists::shards(&world.core).slot_moves, []);
    place(&world.core).await;
    assert_eq!(world.core.state().map().unwrap().1.groups.len(), 1);
    let merge = world.core.merge_groups(&ann(), ONE, ONE).await.unwrap_err();
    assert_eq!(merge.reason(), Reason::Conflict);
    assert!(world.core.rebalance(&ann(), false).await.unwrap().is_empty());
}
