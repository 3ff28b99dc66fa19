//! Invariants over random histories of a small cluster. A failure prints the choices; put them into the test to replay it.

use std::collections::BTreeMap;

use holdfast_domain::{
    AccountId, BanSubject, ClientId, EkHash, GroupId, KeySubject, NodeId, NodeRole, OperatorRequest,
    PendingId, SpiffeSubject, TicketPublic,
};
use proptest::prelude::*;

use super::world::{HOUR, Machine, World, operator, wrap};
use crate::{Act, Command, RegisterClient, State, plan};

/// One random step: what, and who or what it is about.
type Step = (u8, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..14_u8, 1..5_u8, 0..4_u8), 1..40)
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
        8 => match plan::plan_groups(&world.state, 3) {
            Ok(planned) => world.put(operator("ann"), planned),
            Err(reason) => Err(reason),
        },
        9 => {
            let subject = KeySubject::Dmk(group);
            let rows = vec![wrap(subject, 1, machine, Some(machine), 3), wrap(subject, 1, machine, None, 3)];
            let _ = world.act_by(node.clone(), Act::PutWraps(rows));
            let replica =
                world.state.tasks_for(machine.node()).iter().find(|t| t.group == group).map(|t| t.replica);
            match replica.map(|replica| plan::plan_founded(&world.state, group, replica)) {
                Some(Ok(planned)) => world.put(node, planned),
                _ => return,
            }
        }
        10 => match plan::plan_move(&world.state, group, machine.node()) {
            Ok(planned) => world.put(operator("bob"), planned),
            Err(reason) => Err(reason),
        },
        11 => return hand_over(world, group),
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
        _ => {
            let drops: Vec<_> = world.state.dropping().collect();
            let Some((group, replica, node)) = drops.first().copied() else { return };
            world.act_by(SpiffeSubject::Node(node), Act::Dropped { group, replica })
        }
    };
}

fn hand_over(world: &mut World, group: GroupId) {
    let Some(descriptor) = world.state.map().and_then(|(_, map)| map.group(group)).cloned() else { return };
    let machine = |node| (0..8).map(Machine).find(|machine| machine.node() == node).unwrap();
    let [from, to] = descriptor.replicas.as_slice() else { return };
    let row = wrap(KeySubject::Dmk(group), 1, machine(from.node), Some(machine(to.node)), 3);
    let _ = world.act(Act::PutWraps(vec![row]));
    if let Ok(planned) = plan::plan_handed_over(&world.state, group, from.replica) {
        let _ = world.put(SpiffeSubject::Node(from.node), planned);
    }
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
            // Only a signed unban gives rights back, and a banned machine has no keys and no tasks.
            for machine in (1..5).map(Machine) {
                let regained = !rights(&before, machine.node()) && rights(after, machine.node());
                prop_assert!(!regained || next.0 == 5);
                if !rights(after, machine.node()) {
                    prop_assert!(after.tasks_for(machine.node()).is_empty());
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
}
