//! Invariants over random histories of a small cluster. A failure prints the choices; put them into the test to replay it.

use std::collections::BTreeMap;

use holdfast_domain::{
    AccountId, BanSubject, ClientId, EkHash, GroupId, KeySubject, NodeId, NodeRole, OperatorRequest,
    PendingId, ReplicaState, SpiffeSubject, TicketPublic,
};
use proptest::prelude::*;

use super::world::{HOUR, Machine, World, operator};
use crate::{Act, Command, MapChange, RegisterClient, Standing, StandingChange, State, placement, plan};

/// One random step: what, and who or what it is about.
type Step = (u8, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..17_u8, 1..5_u8, 0..4_u8), 1..60)
}

fn step(world: &mut World, (what, a, b): Step) {
    let (machine, role) = (Machine(a), if b == 3 { NodeRole::Registry } else { NodeRole::Node });
    let ticket = TicketPublic::new([b; 32]);
    let node = SpiffeSubject::Node(machine.node());
    let group = GroupId(u32::from(b));
    let _ = match what {
        0 => world.ask(OperatorRequest::AllowEk { ek: machine.ek(), role }),
        1 => {
            let expires = world.now.plus_ms(HOUR / 2);
            world.ask(OperatorRequest::IssueTicket { ticket, role, expires })
        }
        2 => world.join(machine, role),
        3 => world.act(Act::Join(Box::new(machine.joining(role, Some(ticket))))),
        4 => world.ask(OperatorRequest::Ban(BanSubject::Node(machine.node()))),
        5 => world.ask(OperatorRequest::Unban(BanSubject::Node(machine.node()))),
        6 => {
            let joining = Box::new(machine.joining(role, None));
            world.act(Act::JoinPending { pending: PendingId::new([a; 16]), joining })
        }
        7 => {
            let (pending, ek) = (PendingId::new([a; 16]), machine.ek());
            world.ask(OperatorRequest::Approve { pending, ek, role })
        }
        8 => match plan::plan_groups(&world.state, 2, if b == 0 { 1 } else { 3 }) {
            Ok(planned) => world.put(operator("ann"), planned),
            Err(reason) => Err(reason),
        },
        9 => {
            let _ = world.state.map().is_some() && world.node_step();
            return;
        }
        10 => {
            let operators = [
                plan::plan_move(&world.state, group, None, machine.node()),
                plan::plan_split(&world.state, group, &[]),
                plan::plan_merge(&world.state, group, GroupId(u32::from(a))),
                plan::plan_give_up(&world.state, group),
                plan::plan_cancel(&world.state, group),
            ];
            let planned = operators.into_iter().flatten().flatten().nth(usize::from(a) % 3);
            let Some(planned) = planned else { return };
            world.put(operator("bob"), planned)
        }
        11 => match placement::next(&world.state, &world.observed()) {
            Some(change) => world.put(World::voter(), plan::plan(&world.state, change).unwrap()),
            None => return,
        },
        12 => {
            world.now = world.now.plus_ms(HOUR / 4);
            let invite = holdfast_domain::InvitePublic::new([b; 32]);
            let _ = world.ask(OperatorRequest::Invite {
                invite,
                quota_bytes: 7,
                expires: world.now.plus_ms(HOUR),
            });
            world.act(Act::RegisterClient(RegisterClient {
                account: AccountId::new([a; 16]),
                client: ClientId::new([b; 16]),
                key: [a; 32],
                invite,
            }))
        }
        13 => {
            let kinds = [Standing::Serving, Standing::Cordoned, Standing::Draining, Standing::Removed];
            let change =
                [StandingChange::Lost, StandingChange::Returned, StandingChange::Use(kinds[usize::from(b)])];
            world.act_by(
                operator("ann"),
                Act::Standing { node: machine.node(), change: change[usize::from(a) % 3] },
            )
        }
        14 => {
            let Some((_, map)) = world.state.map() else { return };
            let replica =
                map.group(group).and_then(|group| group.on(machine.node())).map(|here| here.replica);
            let Some(replica) = replica else { return };
            match plan::plan(&world.state, MapChange::Lost { group, replica }) {
                Ok(planned) => world.put(node, planned),
                Err(reason) => Err(reason),
            }
        }
        15 => {
            let Some((_, map)) = world.state.map() else { return };
            let Some(slot_move) = map.moves.first().cloned() else { return };
            let (target, by) = world.holder(slot_move.to);
            let change = if slot_move.give_up && b % 2 == 0 {
                MapChange::SlotsKept { since: slot_move.since, by }
            } else {
                MapChange::SlotsMoved { since: slot_move.since, by }
            };
            match plan::plan(&world.state, change) {
                Ok(planned) => world.put(SpiffeSubject::Node(target.node()), planned),
                Err(reason) => Err(reason),
            }
        }
        _ => {
            let drops: Vec<_> = world.state.dropping().collect();
            let Some((group, replica, node)) = drops.first().copied() else { return };
            world.act_by(SpiffeSubject::Node(node), Act::Dropped { group, replica })
        }
    };
}

/// Ids are fresh, and what begins in a group begins alone: a new learner, or a voter that an operator or placement asks to leave.
fn one_change_a_group(before: &State, after: &State) -> Result<(), String> {
    let (Some((_, old)), Some((_, new))) = (before.map(), after.map()) else { return Ok(()) };
    for group in &new.groups {
        let Some(known) = old.group(group.group) else {
            let used = before.dropping().any(|(of, _, _)| of == group.group);
            if used || old.groups.iter().any(|known| known.group >= group.group) {
                return Err(format!("group {} is not new", group.group));
            }
            continue;
        };
        let came: Vec<_> = group.replicas.iter().filter(|r| known.replica(r.replica).is_none()).collect();
        let refounded = known.is_new() && group.is_new();
        let comes = |r: &holdfast_domain::ReplicaDescriptor| {
            matches!(r.state, ReplicaState::Founding | ReplicaState::Learner)
        };
        let busy = known.replicas.iter().any(comes);
        if !came.is_empty() && !refounded && (came.len() > 1 || busy) {
            return Err(format!("group {} gets a second newcomer", group.group));
        }
        let highest = old.groups.iter().flat_map(|group| &group.replicas).map(|r| r.replica).max();
        if came.iter().any(|newcomer| Some(newcomer.replica) <= highest) {
            return Err(format!("a replica id of group {} is not new", group.group));
        }
    }
    Ok(())
}

fn bonds(state: &State) -> BTreeMap<EkHash, NodeId> {
    state.members().map(|(node, member)| (member.ek, node)).collect()
}

fn ticket_users(state: &State) -> BTreeMap<u8, NodeId> {
    let users = (0..4).filter_map(|id| Some((id, state.ticket(TicketPublic::new([id; 32]))?.used_by?)));
    users.collect()
}

fn rights(state: &State, node: NodeId) -> bool {
    !state.is_banned(&SpiffeSubject::Node(node))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_bonds_tickets_slots_epochs_and_bans_hold_through_any_history(steps in steps()) {
        let mut world = World::founded();
        for next in steps {
            let before = world.state.clone();
            step(&mut world, next);
            let after = &world.state;
            // An EK keeps its node id for ever, and nobody else gets either.
            let (old, new) = (bonds(&before), bonds(after));
            prop_assert!(old.iter().all(|(ek, node)| new.get(ek) == Some(node)));
            // A ticket admits one node.
            let users = ticket_users(after);
            prop_assert!(ticket_users(&before).iter().all(|(id, node)| users.get(id).is_none_or(|now| now == node)));
            // The map's epoch grows with every change and never falls; no slot has two groups.
            let epochs = (before.map_epoch(), after.map_epoch());
            prop_assert!(epochs.0 <= epochs.1 && (epochs.0 == epochs.1) == (before.map() == after.map()));
            prop_assert!(after.map().is_none_or(|(_, map)| map.check().is_ok()));
            prop_assert_eq!(one_change_a_group(&before, after), Ok(()));
            // Only a signed unban gives rights back, and a banned machine has no keys.
            for machine in (1..5).map(Machine) {
                let regained = !rights(&before, machine.node()) && rights(after, machine.node());
                prop_assert!(!regained || next.0 == 5);
                if !rights(after, machine.node()) {
                    prop_assert!((1..4).all(|g| after.wraps_for(KeySubject::Dmk(GroupId(g)), machine.node()).is_empty()));
                }
            }
        }
    }

    #[test]
    fn invariant_the_same_log_gives_the_same_state_with_or_without_a_snapshot_between(steps in steps(), cut in 0..40_usize) {
        let mut world = World::founded();
        steps.into_iter().for_each(|next| step(&mut world, next));
        let replay = |cut: Option<usize>| {
            let mut state = State::default();
            let mut outcomes = Vec::new();
            for (place, bytes) in world.log.iter().enumerate() {
                if Some(place) == cut {
                    state = State::restore(&state.snapshot().unwrap()).unwrap();
                }
                let index = (u64::try_from(place).unwrap() + 1) << 10;
                outcomes.push(state.apply(index, Command::decode(bytes).unwrap()).encode().unwrap());
            }
            (state.hash().unwrap(), outcomes)
        };
        prop_assert_eq!(replay(None), replay(Some(cut)));
        prop_assert_eq!(replay(None).0, world.state.hash().unwrap());
    }

    #[test]
    fn invariant_arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Command::decode(&bytes);
        let _ = State::restore(&bytes);
        let _ = crate::Outcome::decode(&bytes);
    }

    #[test]
    fn invariant_damaged_commands_and_states_never_panic(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let world = World::with_groups();
        let mut state = world.state.snapshot().unwrap();
        let at = place.index(state.len());
        state[at] ^= 1 << bit;
        let _ = State::restore(&state);
        let mut bytes = world.log[place.index(world.log.len())].clone();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(command) = Command::decode(&bytes) {
            let mut state = world.state;
            let _ = state.apply(1 << 20, command);
            prop_assert_eq!(state.check(), Ok(()));
        }
    }

    #[test]
    fn invariant_placement_comes_to_rest_spread_over_zones_even_and_off_what_must_be_left(steps in steps(), zones in 1..4_u8) {
        let mut world = World::nodes(6);
        for id in 1..=6 {
            let zone = format!("zone-{}", id % zones);
            world.act(Act::Describe { node: Machine(id).node(), zone, demands_hardware: false }).unwrap();
        }
        world.put(operator("ann"), plan::plan_groups(&world.state, 4, 3).unwrap()).unwrap();
        let harmless = |next: &Step| !matches!(next.0, 4 | 15);
        steps.into_iter().filter(harmless).for_each(|next| step(&mut world, next));
        world.settle();
        let (state, map) = (&world.state, world.map());
        let usable = |id: &Machine| {
            let usage = state.node_use(id.node());
            !usage.lost && usage.standing == Standing::Serving
        };
        let usable: Vec<_> = (1..7).map(Machine).filter(usable).collect();
        let counts: Vec<_> = usable.iter().map(|id| state.replicas_on(id.node())).collect();
        for group in &map.groups {
            if group.voters().count() < 3 || usable.len() < 3 {
                continue;
            }
            let bad = |replica: &holdfast_domain::ReplicaDescriptor| {
                let usage = state.node_use(replica.node);
                usage.lost || matches!(usage.standing, Standing::Draining)
            };
            let majority = group.replicas.iter().filter(|replica| state.node_use(replica.node).lost).count() < 2;
            prop_assert!(!majority || !group.replicas.iter().any(bad), "{group:?}");
        }
        let cordoned = (1..7).any(|id| state.node_use(Machine(id).node()).standing == Standing::Cordoned);
        let stuck = map.groups.iter().any(|group| {
            group.replicas.iter().filter(|replica| state.node_use(replica.node).lost).count() >= 2
        });
        if zones == 1 && !cordoned && !stuck && usable.len() >= 4 {
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            prop_assert!(most - least < 2, "{counts:?}");
        }
    }
}
