//! The life of a group: founded, moved, handed over, dropped.

use std::collections::BTreeMap;

use holdfast_domain::{
    BanSubject, GroupId, KeySubject, MapEpoch, NodeRole, OperatorRequest, Reason, ReplicaState, ShardEpoch,
    SpiffeSubject,
};
use holdfast_keys::{SoftSigner, labels, sign};

use super::world::{Machine, World, operator, unplanned, wrap};
use crate::{Act, Applied, MapChange, Planned, PutMap, TaskKind, plan};

const ONE: GroupId = GroupId(1);

fn node(machine: Machine) -> SpiffeSubject {
    SpiffeSubject::Node(machine.node())
}

#[test]
fn groups_spread_evenly_and_cover_every_slot() {
    let mut world = World::founded();
    for machine in 1..=3 {
        world.allow_and_join(Machine(machine), NodeRole::Node);
    }
    world.ask(OperatorRequest::Ban(BanSubject::Node(Machine(3).node()))).unwrap();
    let planned = plan::plan_groups(&world.state, 7).unwrap();
    let outcome = world.put(operator("ann"), planned).unwrap();
    assert_eq!(outcome, Applied::Map { epoch: MapEpoch(1), groups: (1..=7).map(GroupId).collect() });
    let mut counts = BTreeMap::new();
    for group in &world.map().groups {
        *counts.entry(group.replicas[0].node).or_insert(0) += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| *count);
    assert_eq!(counts.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [3, 4]);
    assert!(counts.iter().all(|(node, _)| *node != Machine(3).node()), "none on a banned node");
}

#[test]
fn without_nodes_there_is_nothing_to_plan() {
    assert_eq!(plan::plan_groups(&World::founded().state, 1).unwrap_err(), Reason::NotReady);
}

#[test]
fn a_group_is_founded_only_after_its_key_has_two_ways_back() {
    let mut world = World::founded();
    world.allow_and_join(Machine(1), NodeRole::Node);
    world.put(operator("ann"), plan::plan_groups(&world.state, 1).unwrap()).unwrap();
    let (machine, replica) = world.holder(ONE);
    assert_eq!(world.state.tasks_for(machine.node())[0].kind, TaskKind::Found);
    let own = wrap(KeySubject::Dmk(ONE), 1, machine, Some(machine), 3);
    world.act(Act::PutWraps(vec![own])).unwrap();
    assert_eq!(plan::plan_founded(&world.state, ONE, replica).unwrap_err(), Reason::WrapMismatch);
    world.act(Act::PutWraps(vec![wrap(KeySubject::Dmk(ONE), 1, machine, None, 3)])).unwrap();
    let planned = plan::plan_founded(&world.state, ONE, replica).unwrap();
    assert_eq!(world.put(node(Machine(2)), planned.clone()), Err(Reason::NotPermitted));
    world.put(node(machine), planned).unwrap();
    assert_eq!(world.map().group(ONE).unwrap().replicas[0].state, ReplicaState::Voter);
    assert!(world.state.tasks_for(machine.node()).is_empty());
}

#[test]
fn a_move_goes_from_learner_to_hand_over_to_drop() {
    let mut world = World::with_groups();
    let (from, old) = world.holder(ONE);
    let target = if from.0 == 1 { Machine(2) } else { Machine(1) };
    let before = world.map().group(ONE).unwrap().clone();
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, target.node()).unwrap()).unwrap();
    let kinds = |world: &World, machine: Machine| -> Vec<TaskKind> {
        world.state.tasks_for(machine.node()).iter().map(|task| task.kind).collect()
    };
    assert_eq!(kinds(&world, from), [TaskKind::HandOver]);
    assert_eq!(kinds(&world, target), [TaskKind::Receive]);
    assert_eq!(plan::plan_handed_over(&world.state, ONE, old).unwrap_err(), Reason::WrapMismatch);
    world.act(Act::PutWraps(vec![wrap(KeySubject::Dmk(ONE), 1, from, Some(target), 3)])).unwrap();
    let planned = plan::plan_handed_over(&world.state, ONE, old).unwrap();
    assert_eq!(world.put(node(target), planned.clone()), Err(Reason::NotPermitted));
    world.put(node(from), planned).unwrap();
    let after = world.map().group(ONE).unwrap();
    assert_eq!((after.replicas.len(), after.replicas[0].node), (1, target.node()));
    assert_eq!(after.slots, before.slots);
    assert_eq!(after.epoch, ShardEpoch(before.epoch.0 + 2));
    assert_eq!(kinds(&world, from), [TaskKind::Drop]);
    let dropped = Act::Dropped { group: ONE, replica: old };
    assert_eq!(world.act_by(node(target), dropped.clone()), Err(Reason::NotPermitted));
    world.act_by(node(from), dropped.clone()).unwrap();
    assert_eq!(world.act_by(node(from), dropped), Err(Reason::NotFound));
    assert!(kinds(&world, from).is_empty());
}

#[test]
fn a_move_back_to_where_it_is_gives_the_move_up() {
    let mut world = World::with_groups();
    let (from, old) = world.holder(ONE);
    let target = if from.0 == 1 { Machine(2) } else { Machine(1) };
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, target.node()).unwrap()).unwrap();
    assert_eq!(plan::plan_move(&world.state, ONE, target.node()).unwrap_err(), Reason::Conflict);
    assert_eq!(plan::plan_withdrawn(&world.state, ONE, old).unwrap_err(), Reason::Conflict);
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, from.node()).unwrap()).unwrap();
    assert_eq!(plan::plan_move(&world.state, ONE, from.node()).unwrap_err(), Reason::Conflict, "said before");
    assert_eq!(world.state.tasks_for(from.node())[0].kind, TaskKind::Withdraw);
    assert_eq!(world.state.tasks_for(target.node())[0].kind, TaskKind::Receive, "it may vote already");
    let planned = plan::plan_withdrawn(&world.state, ONE, old).unwrap();
    assert_eq!(world.put(node(target), planned.clone()), Err(Reason::NotPermitted));
    world.put(node(from), planned).unwrap();
    assert_eq!(world.map().group(ONE).unwrap().replicas.len(), 1);
    assert_eq!(world.state.tasks_for(target.node())[0].kind, TaskKind::Drop);
    assert!(world.state.tasks_for(from.node()).is_empty());
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, target.node()).unwrap()).unwrap();
    assert_eq!(world.state.tasks_for(from.node())[0].kind, TaskKind::HandOver, "a new move is a new one");
}

#[test]
fn a_move_that_succeeds_while_it_is_given_up_has_succeeded() {
    let mut world = World::with_groups();
    let (from, old) = world.holder(ONE);
    let target = if from.0 == 1 { Machine(2) } else { Machine(1) };
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, target.node()).unwrap()).unwrap();
    world.act(Act::PutWraps(vec![wrap(KeySubject::Dmk(ONE), 1, from, Some(target), 3)])).unwrap();
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, from.node()).unwrap()).unwrap();
    world.put(node(from), plan::plan_handed_over(&world.state, ONE, old).unwrap()).unwrap();
    assert_eq!(world.holder(ONE).0.node(), target.node());
    assert_eq!(world.state.tasks_for(from.node())[0].kind, TaskKind::Drop);
    assert!(world.state.tasks_for(target.node()).is_empty());
    assert_eq!(plan::plan_withdrawn(&world.state, ONE, old).unwrap_err(), Reason::Conflict);
}

#[test]
fn a_map_that_nobody_planned_is_refused() {
    let mut world = World::with_groups();
    let planned = plan::plan_move(&world.state, ONE, world.holder(GroupId(2)).0.node()).unwrap();
    let epoch = planned.map.epoch;
    let mut stolen = planned.map.clone();
    stolen.groups[1].slots = stolen.groups[0].slots.clone();
    assert_eq!(world.put(operator("ann"), unplanned(planned.change.clone(), stolen)), Err(Reason::Conflict));
    let mut jump = planned.map.clone();
    jump.epoch = MapEpoch(epoch.0 + 1);
    let jump = Planned { map: jump, ..planned.clone() };
    assert_eq!(world.put(operator("ann"), jump), Err(Reason::Conflict));
    let stale = Planned { expected: MapEpoch(epoch.0 - 2), ..planned.clone() };
    assert_eq!(world.put(operator("ann"), stale), Err(Reason::Conflict));
    let other = SoftSigner::generate().unwrap();
    let map = sign::sign_value(&other, labels::SHARD_MAP, &planned.map).unwrap();
    let put = PutMap { expected: planned.expected, change: planned.change.clone(), map };
    assert_eq!(world.act_by(operator("ann"), Act::PutMap(put)), Err(Reason::NotPermitted));
    assert_eq!(world.put(node(Machine(1)), planned.clone()), Err(Reason::NotPermitted), "nodes plan nothing");
    assert!(world.put(operator("ann"), planned).is_ok());
}

#[test]
fn nothing_moves_to_a_banned_machine_or_to_a_voter() {
    let mut world = World::with_groups();
    let (from, _) = world.holder(ONE);
    let target = if from.0 == 1 { Machine(2) } else { Machine(1) };
    let voter = super::world::FOUNDER;
    assert_eq!(plan::plan_move(&world.state, ONE, voter.node()).unwrap_err(), Reason::RoleMismatch);
    world.ask(OperatorRequest::Ban(BanSubject::Node(target.node()))).unwrap();
    assert_eq!(plan::plan_move(&world.state, ONE, target.node()).unwrap_err(), Reason::EkBanned);
}

#[test]
fn a_new_address_reaches_the_map() {
    let mut world = World::with_groups();
    let machine = Machine(1);
    assert_eq!(plan::plan_readdress(&world.state, machine.node()), Ok(None));
    let joining = crate::Joining { address: "moved:7100".into(), ..machine.joining(NodeRole::Node, None) };
    world.act(Act::Join(Box::new(joining))).unwrap();
    let planned = plan::plan_readdress(&world.state, machine.node()).unwrap().unwrap();
    assert_eq!(planned.change, MapChange::Readdress(machine.node()));
    world.put(World::voter(), planned).unwrap();
    assert!(world.map().groups.iter().any(|group| group.replicas[0].address == "moved:7100"));
}
