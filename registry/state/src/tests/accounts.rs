//! Who may change whose state and role.

use holdfast_domain::{AccountId, BanSubject, OperatorRequest, Reason, Role, SetupPublic};

use super::{
    devices::{ANN, by, change, client, register},
    world::{HOUR, World},
};
use crate::{AccountChange, AccountState, Act, Applied, DeviceChange, RegisterClient, limits};

const BOB: AccountId = AccountId::new([2; 16]);
const CAT: AccountId = AccountId::new([3; 16]);

fn token(world: &mut World, id: u8) -> SetupPublic {
    let token = SetupPublic::new([id; 32]);
    let expires = world.now.plus_ms(HOUR);
    world.ask(OperatorRequest::SetupToken { token, expires }).unwrap();
    token
}

fn account(world: &mut World, id: u8, change: AccountChange) -> Result<Applied, Reason> {
    world.act_by(by(id), Act::Account(change))
}

fn role(world: &mut World, id: u8, account_id: AccountId, role: Option<Role>) -> Result<Applied, Reason> {
    account(world, id, AccountChange::SetRole { account: account_id, role })
}

fn held(world: &World, of: AccountId) -> Option<Role> {
    world.state.global_roles().find(|(account, _)| *account == of).map(|(_, role)| role)
}

/// Ann is superadmin, Bob admin, Cat and Dan nothing.
fn company() -> World {
    let mut world = World::founded();
    (1..=4).for_each(|id| register(&mut world, id));
    let token = token(&mut world, 1);
    account(&mut world, 1, AccountChange::Claim(token)).unwrap();
    role(&mut world, 1, BOB, Some(Role::Admin)).unwrap();
    world
}

#[test]
fn a_set_up_token_makes_one_superadmin_once_and_not_after_its_time() {
    let mut world = World::founded();
    (1..=2).for_each(|id| register(&mut world, id));
    let first = token(&mut world, 1);
    assert_eq!(
        account(&mut world, 1, AccountChange::Claim(SetupPublic::new([9; 32]))),
        Err(Reason::TokenUnknown)
    );
    assert_eq!(account(&mut world, 1, AccountChange::Claim(first)), Ok(Applied::Done));
    assert_eq!(account(&mut world, 2, AccountChange::Claim(first)), Err(Reason::TokenUnknown));
    assert_eq!((held(&world, ANN), held(&world, BOB)), (Some(Role::SuperAdmin), None));
    let second = token(&mut world, 2);
    world.now = world.now.plus_ms(HOUR);
    assert_eq!(account(&mut world, 2, AccountChange::Claim(second)), Err(Reason::TokenUnknown));
}

#[test]
fn nobody_raises_himself_and_nobody_is_made_superadmin() {
    let mut world = company();
    for (who, whom, role_) in [
        (1, ANN, Some(Role::Admin)),
        (1, BOB, Some(Role::SuperAdmin)),
        (2, BOB, Some(Role::Admin)),
        (2, CAT, Some(Role::Guest)),
        (3, CAT, Some(Role::Guest)),
        (3, CAT, None),
    ] {
        assert_eq!(role(&mut world, who, whom, role_), Err(Reason::NotPermitted), "{who} {whom} {role_:?}");
    }
    assert_eq!(role(&mut world, 1, AccountId::new([9; 16]), Some(Role::User)), Err(Reason::NotFound));
    assert_eq!(role(&mut world, 1, CAT, Some(Role::User)), Ok(Applied::Done));
    assert_eq!(role(&mut world, 1, CAT, None), Ok(Applied::Done));
    assert_eq!(held(&world, CAT), None);
}

#[test]
fn admins_end_those_below_them_and_everybody_himself() {
    let mut world = company();
    let refused = Err(Reason::NotPermitted);
    assert_eq!(account(&mut world, 3, AccountChange::Disable(AccountId::new([4; 16]))), refused);
    assert_eq!(
        account(&mut world, 3, AccountChange::Disable(AccountId::new([9; 16]))),
        refused,
        "nor whether it is there"
    );
    assert_eq!(account(&mut world, 2, AccountChange::Disable(ANN)), refused);
    assert_eq!(account(&mut world, 1, AccountChange::Disable(ANN)), refused, "a superadmin steps down first");
    assert_eq!(account(&mut world, 1, AccountChange::Delete(ANN)), refused);
    account(&mut world, 2, AccountChange::Disable(CAT)).unwrap();
    assert!(world.state.is_banned(&by(3)));
    assert!(world.state.barred().contains(&BanSubject::Account(CAT)));
    assert_eq!(account(&mut world, 3, AccountChange::Enable(CAT)), Err(Reason::Banned));
    account(&mut world, 2, AccountChange::Enable(CAT)).unwrap();
    assert!(!world.state.is_banned(&by(3)) && world.state.barred().is_empty());
    account(&mut world, 3, AccountChange::Disable(CAT)).unwrap();
    account(&mut world, 1, AccountChange::Disable(BOB)).unwrap();
    assert_eq!(held(&world, BOB), None, "a role rests with its account");
    assert_eq!(account(&mut world, 2, AccountChange::Enable(CAT)), Err(Reason::Banned));
    account(&mut world, 1, AccountChange::Enable(BOB)).unwrap();
    assert_eq!(held(&world, BOB), Some(Role::Admin));
}

#[test]
fn admins_do_not_rule_each_other_nor_undo_what_a_superadmin_did() {
    let mut world = company();
    role(&mut world, 1, CAT, Some(Role::Admin)).unwrap();
    assert_eq!(account(&mut world, 2, AccountChange::Disable(CAT)), Err(Reason::NotPermitted));
    role(&mut world, 1, CAT, None).unwrap();
    account(&mut world, 1, AccountChange::Disable(CAT)).unwrap();
    assert_eq!(account(&mut world, 2, AccountChange::Enable(CAT)), Err(Reason::NotPermitted));
    assert_eq!(account(&mut world, 1, AccountChange::Enable(CAT)), Ok(Applied::Done));
}

#[test]
fn a_disabled_account_is_barred_for_as_long_as_it_may_have_leaves_and_disabled_for_ever() {
    let mut world = company();
    account(&mut world, 1, AccountChange::Disable(CAT)).unwrap();
    world.now = world.now.plus_ms(limits::LAST_LEAF_MS);
    role(&mut world, 1, BOB, Some(Role::User)).unwrap();
    assert!(world.state.barred().is_empty());
    assert!(world.state.is_banned(&by(3)), "no new leaf");
}

#[test]
fn a_deleted_account_never_comes_back() {
    let mut world = company();
    change(&mut world, 3, DeviceChange::SetRecovery([9; 32])).unwrap();
    account(&mut world, 3, AccountChange::Delete(CAT)).unwrap();
    assert_eq!(world.state.account_state(CAT), AccountState::Deleted);
    assert!(world.state.client(client(3)).is_none() && world.state.recovery_key(CAT).is_none());
    assert!(world.state.barred().contains(&BanSubject::Account(CAT)));
    let invite = world.invite(77);
    let again = RegisterClient { account: CAT, client: client(33), key: [3; 32], invite };
    assert_eq!(world.act(Act::RegisterClient(again)), Err(Reason::AccountTaken));
    assert_eq!(account(&mut world, 1, AccountChange::Enable(CAT)), Err(Reason::NotFound));
    assert_eq!(account(&mut world, 1, AccountChange::Delete(CAT)), Err(Reason::NotFound));
    assert_eq!(role(&mut world, 1, CAT, Some(Role::User)), Err(Reason::NotFound));
}

#[test]
fn the_last_superadmin_stays() {
    let mut world = company();
    assert_eq!(account(&mut world, 1, AccountChange::StepDown), Err(Reason::LastOne));
    assert_eq!(account(&mut world, 2, AccountChange::StepDown), Err(Reason::NotPermitted));
    let token = token(&mut world, 2);
    account(&mut world, 3, AccountChange::Claim(token)).unwrap();
    account(&mut world, 1, AccountChange::Disable(CAT)).unwrap();
    assert_eq!(
        account(&mut world, 1, AccountChange::StepDown),
        Err(Reason::LastOne),
        "the other one is disabled"
    );
    account(&mut world, 1, AccountChange::Enable(CAT)).unwrap();
    assert_eq!(account(&mut world, 1, AccountChange::StepDown), Ok(Applied::Done));
    assert_eq!(account(&mut world, 3, AccountChange::StepDown), Err(Reason::LastOne));
}

#[test]
fn admins_see_all_accounts_in_pages() {
    let mut world = company();
    account(&mut world, 1, AccountChange::Disable(CAT)).unwrap();
    let first = world.state.accounts_after(&by(2), None, 3).unwrap();
    let shown: Vec<_> = first.iter().map(|row| (row.account, row.state, row.role, row.devices)).collect();
    assert_eq!(
        shown,
        [
            (ANN, AccountState::Active, Some(Role::SuperAdmin), 1),
            (BOB, AccountState::Active, Some(Role::Admin), 1),
            (CAT, AccountState::Disabled { by: ANN }, None, 1),
        ]
    );
    assert_eq!(world.state.accounts_after(&by(2), Some(CAT), 3).unwrap().len(), 1);
    assert_eq!(world.state.accounts_after(&by(4), None, 3), Err(Reason::NotPermitted));
    assert_eq!(world.state.accounts_after(&by(3), None, 3), Err(Reason::Banned));
}

#[test]
fn whom_a_superadmin_disables_no_admin_enables_whoever_did_it_before() {
    let mut world = company();
    account(&mut world, 2, AccountChange::Disable(CAT)).unwrap();
    account(&mut world, 1, AccountChange::Disable(CAT)).unwrap();
    assert_eq!(account(&mut world, 2, AccountChange::Enable(CAT)), Err(Reason::NotPermitted));
    account(&mut world, 2, AccountChange::Disable(CAT)).unwrap();
    assert_eq!(account(&mut world, 2, AccountChange::Enable(CAT)), Err(Reason::NotPermitted), "still");
    account(&mut world, 1, AccountChange::Enable(CAT)).unwrap();
}
