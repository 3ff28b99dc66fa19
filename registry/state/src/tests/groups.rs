//! The life of a group: founded, filled, moved, lost, drained, split, merged, retired.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{
    BanSubject, GroupId, KeyGeneration, KeySubject, MapEpoch, NodeRole, OperatorRequest, Reason,
    ReplicaState, ShardEpoch, TpmClass,
};
use holdfast_keys::{SoftSigner, labels, sign};

use super::world::{Machine, World, node, operator, unplanned, wrap};
use crate::{
    Act, Applied, MapChange, Planned, PutMap, Recipient, Standing, StandingChange, placement,
    plan::{self, plan},
};

pub(super) const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

#[test]
fn groups_spread_evenly_and_cover_every_slot() {
    let mut world = World::founded();
    for machine in 1..=3 {
        world.allow_and_join(Machine(machine), NodeRole::Node);
    }
    world.ask(OperatorRequest::Ban(BanSubject::Node(Machine(3).node()))).unwrap();
    assert_eq!(plan::plan_groups(&world.state, 7, 3).unwrap_err(), Reason::NotReady, "two nodes for three");
    assert_eq!(plan::plan_groups(&world.state, 7, 2).unwrap_err(), Reason::Malformed);
    let planned = plan::plan_groups(&world.state, 7, 1).unwrap();
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
    assert_eq!(plan::plan_groups(&World::founded().state, 1, 1).unwrap_err(), Reason::NotReady);
}

#[test]
fn a_group_is_founded_only_after_its_key_has_two_ways_back() {
    let mut world = World::founded();
    world.allow_and_join(Machine(1), NodeRole::Node);
    world.put(operator("ann"), plan::plan_groups(&world.state, 1, 1).unwrap()).unwrap();
    let (machine, replica) = world.holder(ONE);
    let founded = MapChange::Founded { group: ONE, replica };
    let own = wrap(KeySubject::Dmk(ONE), 1, machine, Some(machine), 3);
    world.act(Act::PutWraps(vec![own])).unwrap();
    assert_eq!(plan(&world.state, founded.clone()).unwrap_err(), Reason::WrapMismatch);
    world.act(Act::PutWraps(vec![wrap(KeySubject::Dmk(ONE), 1, machine, None, 3)])).unwrap();
    let planned = plan(&world.state, founded).unwrap();
    assert_eq!(world.put(node(Machine(2)), planned.clone()), Err(Reason::NotPermitted));
    world.put(node(machine), planned).unwrap();
    assert_eq!(world.map().group(ONE).unwrap().replicas[0].state, ReplicaState::Voter);
}

#[test]
fn a_move_goes_from_learner_to_voter_to_drop_to_rotation() {
    let mut world = World::with_groups();
    let ((from, old), target) = (world.holder(ONE), world.other(ONE));
    let before = world.map().group(ONE).unwrap().clone();
    let planned = plan::plan_move(&world.state, ONE, None, target.node()).unwrap().unwrap();
    world.put(operator("ann"), planned).unwrap();
    assert_eq!(plan::plan_move(&world.state, ONE, None, target.node()), Ok(None), "asked for again");
    let learner = world.map().group(ONE).unwrap().on(target.node()).unwrap().clone();
    assert_eq!(
        (learner.state, world.state.replaced_by(ONE, learner.replica)),
        (ReplicaState::Learner, Some(old))
    );
    let promoted = MapChange::Promoted { group: ONE, by: old, replica: learner.replica };
    assert_eq!(plan(&world.state, promoted.clone()).unwrap_err(), Reason::WrapMismatch);
    world.act(Act::PutWraps(vec![wrap(KeySubject::Dmk(ONE), 1, from, Some(target), 3)])).unwrap();
    let planned = plan(&world.state, promoted).unwrap();
    assert_eq!(world.put(node(target), planned.clone()), Err(Reason::NotPermitted), "a voter says so");
    world.put(node(from), planned).unwrap();
    let states = |world: &World| -> Vec<_> {
        world.map().group(ONE).unwrap().replicas.iter().map(|r| r.state).collect()
    };
    assert_eq!(states(&world), [ReplicaState::Leaving, ReplicaState::Voter]);
    let own = MapChange::Removed { group: ONE, by: old, replica: old };
    assert_eq!(plan(&world.state, own).unwrap_err(), Reason::Conflict, "nobody removes itself");
    let removed = MapChange::Removed { group: ONE, by: learner.replica, replica: old };
    world.put(node(target), plan(&world.state, removed).unwrap()).unwrap();
    let after = world.map().group(ONE).unwrap().clone();
    assert_eq!((after.epoch, after.replicas.len()), (ShardEpoch(before.epoch.0 + 3), 1));
    assert_eq!(world.state.drops_for(from.node()).collect::<Vec<_>>(), [(ONE, old)]);
    assert_eq!(world.state.rotations_for(target.node()), [(ONE, KeyGeneration(1))].into());
    assert!(world.state.wraps_for(KeySubject::Dmk(ONE), from.node()).is_empty());
    let dropped = || Act::Dropped { group: ONE, replica: old };
    assert_eq!(world.act_by(node(target), dropped()), Err(Reason::NotPermitted));
    assert_eq!(world.act_by(node(from), dropped()), Ok(Applied::Done));
    assert_eq!(world.act_by(node(from), dropped()), Err(Reason::NotFound));
}

#[test]
fn old_wraps_go_when_everybody_who_stays_has_the_new_key() {
    let mut world = World::with_groups();
    world.move_to(ONE, world.other(ONE));
    let (here, replica) = world.holder(ONE);
    let rotated = |generation| Act::Rotated { group: ONE, replica, generation: KeyGeneration(generation) };
    let dmk = KeySubject::Dmk(ONE);
    assert_eq!(world.act_by(node(here), rotated(1)), Ok(Applied::Done), "no new one yet: nothing happens");
    assert!(world.state.is_rotating(ONE));
    assert_eq!(world.act_by(node(here), rotated(2)), Err(Reason::Conflict));
    world.act(Act::PutWraps(vec![wrap(dmk, 2, here, Some(here), 4)])).unwrap();
    assert_eq!(world.act_by(node(here), rotated(2)), Err(Reason::WrapMismatch), "the officers lack it");
    world.act(Act::PutWraps(vec![wrap(dmk, 2, here, None, 4)])).unwrap();
    assert_eq!(world.act_by(node(world.other(ONE)), rotated(2)), Err(Reason::NotPermitted));
    assert_eq!(world.act_by(node(here), rotated(2)), Ok(Applied::Done));
    assert!(!world.state.is_rotating(ONE));
    assert_eq!(world.state.wraps_of(dmk, KeyGeneration(1)).count(), 0);
    let left: Vec<_> = world.state.wraps_of(dmk, KeyGeneration(2)).map(|(recipient, _)| recipient).collect();
    assert_eq!(left, [Recipient::Recovery, Recipient::Node(here.node())]);
    assert_eq!(world.act_by(node(here), rotated(2)), Ok(Applied::Done), "told again");
}

#[test]
fn a_move_is_given_up_by_its_newcomer_leaving() {
    let mut world = World::with_groups();
    let ((from, old), target) = (world.holder(ONE), world.other(ONE));
    assert_eq!(plan::plan_cancel(&world.state, ONE), Ok(None));
    let planned = plan::plan_move(&world.state, ONE, None, target.node()).unwrap().unwrap();
    world.put(operator("ann"), planned).unwrap();
    let learner = world.map().group(ONE).unwrap().on(target.node()).unwrap().replica;
    world.put(operator("ann"), plan::plan_cancel(&world.state, ONE).unwrap().unwrap()).unwrap();
    assert_eq!(world.state.replaced_by(ONE, learner), None);
    // It may vote already: it is taken out either way, and the one that was to go stays.
    let removed = MapChange::Removed { group: ONE, by: old, replica: learner };
    world.put(node(from), plan(&world.state, removed).unwrap()).unwrap();
    assert_eq!(world.state.drops_for(target.node()).collect::<Vec<_>>(), [(ONE, learner)]);
    assert!(world.map().group(ONE).unwrap().is_settled());
}

#[test]
fn the_last_voter_stays() {
    let mut world = World::with_groups();
    let (machine, replica) = world.holder(ONE);
    assert_eq!(plan(&world.state, MapChange::Leave { group: ONE, replica }).unwrap_err(), Reason::LastOne);
    assert_eq!(plan(&world.state, MapChange::Lost { group: ONE, replica }).unwrap_err(), Reason::LastOne);
    let (target, group) = (world.other(ONE).node(), ONE);
    world.put(operator("ann"), plan::plan_move(&world.state, ONE, None, target).unwrap().unwrap()).unwrap();
    let again = MapChange::Add { group, target: machine.node(), replaces: None };
    assert_eq!(plan(&world.state, again).unwrap_err(), Reason::Conflict, "one thing at a time");
}

#[test]
fn what_is_lost_is_replaced_elsewhere_and_what_drains_leaves() {
    let mut world = World::replicated(4, 1);
    let at_rest = |world: &World| placement::next(&world.state, &world.observed()).is_none();
    assert!(at_rest(&world));
    let (lost, id) = world.holder(ONE);
    let report = MapChange::Lost { group: ONE, replica: id };
    world.put(node(lost), plan(&world.state, report).unwrap()).unwrap();
    world.settle();
    assert_eq!(world.map().group(ONE).unwrap().voters().count(), 3);
    let standing = |node, change| Act::Standing { node, change };
    let gone = world.holder(ONE).0.node();
    world.act(standing(gone, StandingChange::Lost)).unwrap();
    world.settle();
    let group = world.map().group(ONE).unwrap();
    assert!(group.voters().count() == 3 && group.on(gone).is_none());
    // Three nodes are left: nobody else can take it, and two of three remain.
    let drained = world.holder(ONE).0.node();
    let use_it = StandingChange::Use(Standing::Draining);
    assert_eq!(world.act(standing(drained, use_it)), Err(Reason::NotPermitted));
    world.act_by(operator("ann"), standing(drained, use_it)).unwrap();
    let removed = standing(drained, StandingChange::Use(Standing::Removed));
    assert_eq!(world.act_by(operator("ann"), removed.clone()), Err(Reason::NotEmpty));
    world.settle();
    let group = world.map().group(ONE).unwrap();
    assert!(group.voters().count() == 2 && group.on(drained).is_none());
    world.act_by(operator("ann"), removed).unwrap();
    assert_eq!(world.state.drops_for(drained).count(), 0, "nobody would ever report them");
    // A second one would leave one of three.
    let second = world.holder(ONE).0.node();
    world.act_by(operator("ann"), standing(second, use_it)).unwrap();
    assert!(at_rest(&world));
    world.act(standing(gone, StandingChange::Returned)).unwrap();
    world.settle();
    let group = world.map().group(ONE).unwrap();
    assert!(group.voters().count() == 2 && group.on(gone).is_some() && group.on(second).is_none());
}

#[test]
fn the_next_one_comes_while_the_last_one_leaves() {
    let mut world = World::replicated(5, 1);
    let (machine, replica) = world.holder(ONE);
    let report = MapChange::Lost { group: ONE, replica };
    world.put(node(machine), plan(&world.state, report).unwrap()).unwrap();
    // A voter that is dead would keep the others from doing without the one that leaves.
    let Some(MapChange::Add { group, target, replaces: None }) =
        placement::next(&world.state, &world.observed())
    else {
        panic!("nobody comes");
    };
    let add = MapChange::Add { group, target, replaces: None };
    world.put(World::voter(), plan(&world.state, add.clone()).unwrap()).unwrap();
    assert_eq!(plan(&world.state, add).unwrap_err(), Reason::Conflict, "one newcomer at a time");
    world.settle();
    assert_eq!(world.map().group(ONE).unwrap().voters().count(), 3);
}

#[test]
fn a_banned_machine_is_taken_out_at_once() {
    let mut world = World::replicated(3, 2);
    let banned = world.holder(ONE).0.node();
    world.ask(OperatorRequest::Ban(BanSubject::Node(banned))).unwrap();
    world.settle();
    assert!(world.map().groups.iter().all(|group| group.on(banned).is_none() && group.voters().count() == 2));
    assert_eq!(world.state.rotations_for(world.holder(ONE).0.node()).len(), 2);
}

#[test]
fn a_founder_that_is_gone_is_replaced_with_its_group() {
    let mut world = World::nodes(4);
    world.put(operator("ann"), plan::plan_groups(&world.state, 1, 3).unwrap()).unwrap();
    let before = world.map().group(ONE).unwrap().clone();
    let founder = before.replicas.iter().find(|replica| replica.state == ReplicaState::Founding).unwrap();
    world.act(Act::Standing { node: founder.node, change: StandingChange::Lost }).unwrap();
    world.settle();
    let after = world.map().group(ONE).unwrap();
    assert!(after.is_settled() && after.on(founder.node).is_none());
    let ids = |replicas: &[holdfast_domain::ReplicaDescriptor]| -> BTreeSet<_> {
        replicas.iter().map(|r| r.replica).collect()
    };
    assert!(ids(&before.replicas).is_disjoint(&ids(&after.replicas)));
}

#[test]
fn a_split_waits_for_its_group_and_changes_hands_in_one_step() {
    let mut world = World::replicated(3, 1);
    let planned = plan::plan_split(&world.state, ONE, &[]).unwrap().unwrap();
    world.put(operator("ann"), planned).unwrap();
    assert_eq!(plan::plan_split(&world.state, ONE, &[]), Ok(None), "asked for again");
    assert_eq!(world.state.split_target(ONE), Some(TWO));
    world.settle();
    let moving = world.map().moves[0].clone();
    assert_eq!((moving.from, moving.to, moving.give_up), (ONE, TWO, false));
    assert_eq!(world.map().group(ONE).unwrap().slot_count(), 4096, "until the target says so");
    let (epoch, since) = (world.map().group(ONE).unwrap().epoch, moving.since);
    let (machine, by) = world.holder(TWO);
    let stranger = MapChange::SlotsMoved { since, by: world.holder(ONE).1 };
    let stranger = world.put(node(machine), plan(&world.state, stranger).unwrap());
    assert_eq!(stranger, Err(Reason::NotPermitted), "a replica of the source");
    assert_eq!(plan(&world.state, MapChange::SlotsKept { since, by }).unwrap_err(), Reason::Conflict);
    world.put(node(machine), plan(&world.state, MapChange::SlotsMoved { since, by }).unwrap()).unwrap();
    let (one, two) = (world.map().group(ONE).unwrap(), world.map().group(TWO).unwrap());
    assert_eq!((one.slot_count(), two.slot_count(), one.epoch), (2048, 2048, ShardEpoch(epoch.0 + 1)));
    assert!(world.map().moves.is_empty());
    assert_eq!(placement::next(&world.state, &world.observed()), None);
}

#[test]
fn a_merge_retires_its_source_and_its_keys() {
    let mut world = World::replicated(3, 2);
    world.put(operator("ann"), plan::plan_merge(&world.state, ONE, TWO).unwrap().unwrap()).unwrap();
    assert_eq!(plan::plan_merge(&world.state, ONE, TWO), Ok(None));
    let since = world.map().moves[0].since;
    let (machine, by) = world.holder(TWO);
    world.put(node(machine), plan(&world.state, MapChange::SlotsMoved { since, by }).unwrap()).unwrap();
    world.settle();
    assert_eq!(world.map().groups.iter().map(|group| group.group).collect::<Vec<_>>(), [TWO]);
    assert_eq!((world.state.dropping().count(), world.state.generation(KeySubject::Dmk(ONE))), (3, None));
    world.put(operator("ann"), plan::plan_split(&world.state, TWO, &[]).unwrap().unwrap()).unwrap();
    assert_eq!(world.state.split_target(TWO), Some(GroupId(3)), "ids are not used again");
}

#[test]
fn a_split_that_is_given_up_leaves_nothing() {
    for begun in [false, true] {
        let mut world = World::replicated(3, 1);
        world.put(operator("ann"), plan::plan_split(&world.state, ONE, &[]).unwrap().unwrap()).unwrap();
        if begun {
            world.settle();
        }
        world.put(operator("ann"), plan::plan_give_up(&world.state, ONE).unwrap().unwrap()).unwrap();
        if begun {
            assert_eq!(plan::plan_give_up(&world.state, ONE), Ok(None));
            let since = world.map().moves[0].since;
            let (machine, by) = world.holder(TWO);
            world
                .put(node(machine), plan(&world.state, MapChange::SlotsKept { since, by }).unwrap())
                .unwrap();
        }
        world.settle();
        assert_eq!(world.map().groups.len(), 1);
        assert_eq!(world.map().group(ONE).unwrap().slot_count(), 4096);
        assert_eq!(plan::plan_give_up(&world.state, ONE), Ok(None));
    }
}

#[test]
fn floors_rise_and_go_with_their_replicas() {
    let mut world = World::with_groups();
    let (machine, replica) = world.holder(ONE);
    let floors = |floor| Act::Floors(vec![crate::FloorRow { group: ONE, replica, floor }]);
    assert_eq!(world.act_by(node(machine), floors((1, 5))), Err(Reason::NotPermitted));
    for (told, known) in [((1, 5), (1, 5)), ((2, 3), (2, 3)), ((1, 9), (2, 3))] {
        world.act(floors(told)).unwrap();
        assert_eq!(world.state.floor(ONE, replica), Some(known));
    }
    assert_eq!(world.state.floors_of(machine.node()).count(), 1);
    world.move_to(ONE, world.other(ONE));
    assert_eq!(world.state.floor(ONE, replica), None);
    world.act(floors((9, 9))).unwrap();
    assert_eq!(world.state.floor(ONE, replica), None);
}

#[test]
fn a_map_that_nobody_planned_is_refused() {
    let mut world = World::with_groups();
    let planned = plan::plan_move(&world.state, ONE, None, world.other(ONE).node()).unwrap().unwrap();
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
    let target = world.other(ONE);
    let voter = super::world::FOUNDER;
    assert_eq!(plan::plan_move(&world.state, ONE, None, voter.node()).unwrap_err(), Reason::RoleMismatch);
    world.ask(OperatorRequest::Ban(BanSubject::Node(target.node()))).unwrap();
    assert_eq!(plan::plan_move(&world.state, ONE, None, target.node()).unwrap_err(), Reason::EkBanned);
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

#[test]
fn replicas_are_on_hardware_tpms_only_where_a_module_demands_them() {
    let mut world = World::nodes(3);
    let demand =
        |demands_hardware| Act::Describe { node: Machine(1).node(), zone: String::new(), demands_hardware };
    world.act(demand(true)).unwrap();
    assert_eq!(plan::plan_groups(&world.state, 1, 1).unwrap_err(), Reason::NotReady, "software TPMs only");
    world.act(demand(false)).unwrap();
    world.put(operator("ann"), plan::plan_groups(&world.state, 1, 3).unwrap()).unwrap();
    world.settle();

    // Nothing is given up for a demand that nobody can meet.
    world.act(demand(true)).unwrap();
    let before = world.map().clone();
    world.settle();
    assert_eq!(*world.map(), before);
    for machine in [4, 5, 6].map(Machine) {
        world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role: NodeRole::Node }).unwrap();
        let joining = machine.joining(NodeRole::Node, None);
        let joining = crate::Joining { class: TpmClass::Hardware, ..joining };
        world.act(Act::Join(Box::new(joining))).unwrap();
    }
    world.settle();
    let on: BTreeSet<_> = world.map().group(ONE).unwrap().voters().map(|voter| voter.node).collect();
    assert_eq!(on, [4, 5, 6].map(|machine| Machine(machine).node()).into());
}
