//! Rights over accounts through random histories. A failure prints the choices; put them into the test to replay it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{AccountId, ClientId, OperatorRequest, Role, SetupPublic, SpiffeSubject};
use proptest::prelude::*;

use super::{
    devices::{by, client, register},
    world::{HOUR, World},
};
use crate::{AccountChange, AccountState, Act, DeviceChange, Recover, State};

/// One random step: what, who, about whom, and how.
type Step = (u8, u8, u8, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..14_u8, 1..13_u8, 1..5_u8, 0..5_u8), 1..60)
}

fn step(world: &mut World, (what, who, whom, how): Step) {
    let account = AccountId::new([whom; 16]);
    let new = whom + 4 * how;
    let act = match what {
        0 | 1 => Act::Account(AccountChange::Disable(account)),
        2 => Act::Account(AccountChange::Enable(account)),
        3 => Act::Account(AccountChange::Delete(account)),
        4 | 5 => {
            let role = Role::try_from(i32::from(how)).ok();
            Act::Account(AccountChange::SetRole { account, role })
        }
        6 => Act::Account(AccountChange::StepDown),
        7 => Act::Account(AccountChange::Claim(SetupPublic::new([how; 32]))),
        8 => {
            let expires = world.now.plus_ms(HOUR);
            let _ = world.ask(OperatorRequest::SetupToken { token: SetupPublic::new([how; 32]), expires });
            return;
        }
        9 => Act::Device(DeviceChange::Add { client: client(new), key: [new; 32] }),
        10 => Act::Device(DeviceChange::Revoke(client(new))),
        11 => Act::Device(DeviceChange::Rotate { client: client(new), key: [new; 32] }),
        12 => Act::Device(DeviceChange::SetRecovery([how; 32])),
        _ => {
            let (used, next) = ([how; 32], [how + 1; 32]);
            let recover = Recover { account, used, next, client: client(new), key: [new; 32] };
            let _ = world.act(Act::Device(DeviceChange::Recover(recover)));
            return;
        }
    };
    let _ = world.act_by(by(who), act);
}

fn superadmins(state: &State) -> BTreeSet<AccountId> {
    state.global_roles().filter(|(_, role)| *role == Role::SuperAdmin).map(|(account, _)| account).collect()
}

fn roles(state: &State) -> BTreeMap<AccountId, Role> {
    (1..5)
        .filter_map(|id| {
            state.account(AccountId::new([id; 16])).and_then(|row| Some((row.account, row.role?)))
        })
        .collect()
}

fn clients(state: &State) -> BTreeMap<ClientId, AccountId> {
    let ids = (0..32).map(client);
    ids.filter_map(|id| Some((id, state.client(id)?.0.account))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_superadmins_stay_nobody_raises_himself_and_what_is_gone_is_gone(steps in steps()) {
        let mut world = World::founded();
        (1..5).for_each(|id| register(&mut world, id));
        for next in steps {
            let before = world.state.clone();
            step(&mut world, next);
            let after = &world.state;
            let (what, who, ..) = next;
            let caller = before.client(client(who)).map(|(row, _)| row.account);

            // The last active superadmin stays.
            prop_assert!(superadmins(&before).is_empty() || !superadmins(after).is_empty());
            // Roles grow by a superadmin's hand and another's account only, or by a token.
            for (account, role) in roles(after) {
                if roles(&before).get(&account) >= Some(&role) {
                    continue;
                }
                let given = role < Role::SuperAdmin && caller != Some(account)
                    && caller.is_some_and(|caller| superadmins(&before).contains(&caller));
                prop_assert!(given || (what == 7 && caller == Some(account) && role == Role::SuperAdmin));
            }
            for id in (1..5).map(|id| AccountId::new([id; 16])) {
                // A deleted account never comes back.
                let deleted = |state: &State| state.account_state(id) == AccountState::Deleted;
                prop_assert!(!deleted(&before) || deleted(after));
                // Others' accounts are ended by those above them.
                if before.account_state(id) == AccountState::Active && after.account_state(id) != AccountState::Active {
                    let above = caller.and_then(|caller| roles(&before).get(&caller).copied()) >= Some(Role::Admin);
                    prop_assert!(caller == Some(id) || above);
                }
            }
            // A key that went is kept out at once, and its account stays its account as long as it is there.
            for (gone, account) in clients(&before) {
                match clients(after).get(&gone) {
                    Some(still) => prop_assert_eq!(*still, account),
                    None => {
                        let barred = after.barred();
                        prop_assert!(barred.contains(&holdfast_domain::BanSubject::Client(gone))
                            || barred.contains(&holdfast_domain::BanSubject::Account(account)));
                    }
                }
            }
            // Whoever is disabled or deleted gets nothing.
            for (id, account) in clients(after) {
                let active = after.account_state(account) == AccountState::Active;
                prop_assert_eq!(after.is_banned(&SpiffeSubject::Client(id)), !active);
            }
            let restored = State::restore(&after.snapshot().unwrap()).unwrap();
            prop_assert!(restored == *after);
        }
    }

    #[test]
    fn invariant_damaged_states_with_people_never_panic(place in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut world = World::founded();
        register(&mut world, 1);
        world.act_by(by(1), Act::Device(DeviceChange::SetRecovery([1; 32]))).unwrap();
        let mut state = world.state.snapshot().unwrap();
        let at = place.index(state.len());
        state[at] ^= 1 << bit;
        let _ = State::restore(&state);
        let _ = State::restore(&state[..at]);
    }
}
