//! Keys of an account come and go; what was revoked stays out until its last leaf has ended.

use holdfast_domain::{
    AccountId, BanSubject, ClientId, GroupId, HomeId, LoginId, OperatorRequest, Reason, Role, SetupPublic,
    Slot, SpiffeSubject,
};

use super::world::{HOUR, Machine, World};
use crate::{AccountChange, Act, AdmitDevice, Applied, DeviceChange, Recover, RegisterClient, State, limits};

pub(super) const ANN: AccountId = AccountId::new([1; 16]);

pub(super) fn client(id: u8) -> ClientId {
    ClientId::new([id; 16])
}

pub(super) fn by(id: u8) -> SpiffeSubject {
    SpiffeSubject::Client(client(id))
}

/// An account and its first client of the same number.
pub(super) fn register(world: &mut World, id: u8) {
    let invite = world.invite(id);
    let (account, client) = (AccountId::new([id; 16]), client(id));
    world.act(Act::RegisterClient(RegisterClient { account, client, key: [id; 32], invite })).unwrap();
}

pub(super) fn change(world: &mut World, id: u8, change: DeviceChange) -> Result<Applied, Reason> {
    world.act_by(by(id), Act::Device(change))
}

fn add(world: &mut World, id: u8, new: u8) -> Result<Applied, Reason> {
    change(world, id, DeviceChange::Add { client: client(new), key: [new; 32] })
}

fn ids(state: &State) -> Vec<ClientId> {
    state.devices(ANN).map(|(id, _, _)| id).collect()
}

fn barred(world: &World, id: u8) -> bool {
    world.state.barred().contains(&BanSubject::Client(client(id)))
}

fn recover(account: AccountId, used: u8, next: u8, new: u8) -> Act {
    let (used, next, key) = ([used; 32], [next; 32], [new; 32]);
    Act::Device(DeviceChange::Recover(Recover { account, used, next, client: client(new), key }))
}

#[test]
fn a_key_is_added_once_and_works_like_the_first() {
    let mut world = World::founded();
    register(&mut world, 1);
    assert_eq!(add(&mut world, 1, 11), Ok(Applied::Done));
    assert_eq!(add(&mut world, 1, 11), Ok(Applied::Done), "the same again is done already");
    assert_eq!(add(&mut world, 11, 12), Ok(Applied::Done));
    assert_eq!(ids(&world.state), [client(1), client(11), client(12)]);
    register(&mut world, 2);
    assert_eq!(add(&mut world, 2, 12), Err(Reason::AccountTaken), "another account's");
    assert_eq!(add(&mut world, 77, 13), Err(Reason::NotPermitted), "a client that is not there");
    for new in 20..33 {
        add(&mut world, 1, new).unwrap();
    }
    assert_eq!(add(&mut world, 1, 40), Err(Reason::TooMany));
}

#[test]
fn a_revoked_key_is_refused_shown_to_everybody_and_forgotten_when_its_last_leaf_has_ended() {
    let mut world = World::founded();
    register(&mut world, 1);
    assert_eq!(change(&mut world, 1, DeviceChange::Revoke(client(1))), Err(Reason::LastOne));
    add(&mut world, 1, 11).unwrap();
    register(&mut world, 2);
    assert_eq!(change(&mut world, 2, DeviceChange::Revoke(client(11))), Err(Reason::NotFound));
    change(&mut world, 1, DeviceChange::Revoke(client(11))).unwrap();
    assert!(world.state.client(client(11)).is_none() && world.state.is_banned(&by(11)));
    assert!(barred(&world, 11) && !barred(&world, 1));
    assert_eq!(add(&mut world, 11, 12), Err(Reason::Banned));
    assert_eq!(add(&mut world, 1, 11), Err(Reason::AccountTaken), "an id that is barred does not come back");
    world.now = world.now.plus_ms(limits::LAST_LEAF_MS);
    add(&mut world, 1, 13).unwrap();
    assert!(!barred(&world, 11));
}

#[test]
fn a_rotation_is_one_step() {
    let mut world = World::founded();
    register(&mut world, 1);
    change(&mut world, 1, DeviceChange::Rotate { client: client(11), key: [11; 32] }).unwrap();
    assert_eq!(ids(&world.state), [client(11)]);
    assert!(barred(&world, 1));
    assert_eq!(change(&mut world, 1, DeviceChange::SetRecovery([9; 32])), Err(Reason::Banned));
    assert_eq!(change(&mut world, 11, DeviceChange::SetRecovery([9; 32])), Ok(Applied::Done));
}

#[test]
fn one_account_cannot_fill_the_list_of_revoked_keys() {
    let mut world = World::founded();
    register(&mut world, 1);
    let mut last = 1;
    for new in 2..=u8::MAX {
        match change(&mut world, last, DeviceChange::Rotate { client: client(new), key: [new; 32] }) {
            Ok(_) => last = new,
            Err(reason) => {
                assert_eq!(reason, Reason::TooMany);
                break;
            }
        }
    }
    assert_eq!(usize::from(last), limits::MAX_REVOKED_AN_ACCOUNT + 1);
    assert_eq!(add(&mut world, last, 255), Err(Reason::TooMany));
    world.now = world.now.plus_ms(limits::LAST_LEAF_MS);
    assert_eq!(add(&mut world, last, 255), Ok(Applied::Done));
}

#[test]
fn a_recovery_key_replaces_all_keys_once() {
    let mut world = World::founded();
    register(&mut world, 1);
    add(&mut world, 1, 11).unwrap();
    assert_eq!(world.act(recover(ANN, 9, 8, 12)), Err(Reason::ProofOfPossession), "there is none yet");
    change(&mut world, 1, DeviceChange::SetRecovery([9; 32])).unwrap();
    assert_eq!(
        world.act_by(by(1), recover(ANN, 9, 8, 12)),
        Err(Reason::NotPermitted),
        "voters check the signatures"
    );
    assert_eq!(world.act(recover(ANN, 7, 8, 12)), Err(Reason::ProofOfPossession));
    assert_eq!(world.act(recover(ANN, 9, 9, 12)), Err(Reason::ProofOfPossession), "a key is used once");
    assert_eq!(world.act(recover(ANN, 9, 8, 12)), Ok(Applied::Done));
    assert_eq!(world.act(recover(ANN, 9, 8, 12)), Ok(Applied::Done), "the same again is done already");
    assert_eq!(ids(&world.state), [client(12)]);
    assert!(barred(&world, 1) && barred(&world, 11) && world.state.is_banned(&by(1)));
    assert_eq!(world.act(recover(ANN, 9, 7, 13)), Err(Reason::ProofOfPossession), "used up");
    assert_eq!(world.act(recover(ANN, 8, 7, 13)), Ok(Applied::Done));
    assert_eq!(world.act(recover(AccountId::new([5; 16]), 8, 7, 14)), Err(Reason::ProofOfPossession));
}

#[test]
fn a_banned_account_is_not_recovered() {
    let mut world = World::founded();
    register(&mut world, 1);
    change(&mut world, 1, DeviceChange::SetRecovery([9; 32])).unwrap();
    world.ask(OperatorRequest::Ban(BanSubject::Account(ANN))).unwrap();
    assert_eq!(world.act(recover(ANN, 9, 8, 12)), Err(Reason::Banned));
}

/// A login whose home the first group serves.
fn login(world: &World, group: GroupId) -> LoginId {
    let of = |id| {
        let slot = Slot::of_home(world.map().cluster, HomeId::Login(LoginId::new([id; 16])));
        world.map().group_of(slot).map(|group| group.group)
    };
    LoginId::new([(0..=255).find(|id| of(*id) == Some(group)).unwrap(); 16])
}

fn admit(world: &mut World, node: Machine, new: u8, login: LoginId, life: u64) -> Result<Applied, Reason> {
    let expires = world.now.plus_ms(life);
    let admit = AdmitDevice { account: ANN, client: client(new), key: [new; 32], login, expires };
    world.act_by(SpiffeSubject::Node(node.node()), Act::Device(DeviceChange::Admit(admit)))
}

#[test]
fn a_node_admits_by_the_accounts_login_for_the_slots_that_it_serves() {
    let mut world = World::with_groups();
    register(&mut world, 1);
    let login = login(&world, GroupId(1));
    let (here, elsewhere) = (world.holder(GroupId(1)).0, world.holder(GroupId(2)).0);
    assert_eq!(admit(&mut world, here, 50, login, HOUR), Err(Reason::NotPermitted), "not the account's");
    change(&mut world, 1, DeviceChange::SetLogin(Some(login))).unwrap();
    assert_eq!(admit(&mut world, elsewhere, 50, login, HOUR), Err(Reason::WrongGroup));
    assert_eq!(admit(&mut world, Machine(7), 50, login, HOUR), Err(Reason::WrongGroup), "no node at all");
    assert_eq!(admit(&mut world, here, 50, login, limits::MAX_LOGIN_DEVICE_MS + 1), Err(Reason::Malformed));
    assert_eq!(admit(&mut world, here, 50, login, 0), Err(Reason::Malformed));
    assert_eq!(admit(&mut world, here, 50, login, HOUR), Ok(Applied::Done));
    assert_eq!(admit(&mut world, here, 50, login, HOUR), Ok(Applied::Done), "the same again is done already");
    assert_eq!(world.state.expires(client(50)), Some(world.now.plus_ms(HOUR)));
    change(&mut world, 1, DeviceChange::SetLogin(None)).unwrap();
    assert_eq!(admit(&mut world, here, 51, login, HOUR), Err(Reason::NotPermitted));
}

#[test]
fn a_key_by_login_decides_nothing_and_ends_by_itself() {
    let mut world = World::with_groups();
    register(&mut world, 1);
    let login = login(&world, GroupId(1));
    let here = world.holder(GroupId(1)).0;
    change(&mut world, 1, DeviceChange::SetLogin(Some(login))).unwrap();
    admit(&mut world, here, 50, login, HOUR).unwrap();
    for refused in [
        DeviceChange::Add { client: client(60), key: [60; 32] },
        DeviceChange::Revoke(client(1)),
        DeviceChange::SetRecovery([9; 32]),
        DeviceChange::SetLogin(None),
    ] {
        assert_eq!(change(&mut world, 50, refused), Err(Reason::NotPermitted));
    }
    change(&mut world, 50, DeviceChange::Rotate { client: client(51), key: [51; 32] }).unwrap();
    assert_eq!(world.state.expires(client(51)), Some(world.now.plus_ms(HOUR)), "a new key lives no longer");
    change(&mut world, 51, DeviceChange::Revoke(client(51))).unwrap();
    assert!(barred(&world, 51));
    for new in 70..79 {
        admit(&mut world, here, new, login, HOUR + u64::from(new)).unwrap();
    }
    let passing = world.state.devices(ANN).filter(|(_, _, expires)| expires.is_some()).count();
    assert_eq!(passing, limits::MAX_LOGIN_DEVICES);
    assert!(barred(&world, 70), "the one that ends first makes room");
    world.now = world.now.plus_ms(2 * HOUR);
    let refused = change(&mut world, 78, DeviceChange::Revoke(client(78)));
    assert_eq!(refused, Err(Reason::IdentityExpired));
    admit(&mut world, here, 90, login, HOUR).unwrap();
    assert_eq!(ids(&world.state), [client(1), client(90)]);
}

#[test]
fn whoever_decides_about_others_comes_with_a_key_that_stays() {
    let mut world = World::with_groups();
    (1..=2).for_each(|id| register(&mut world, id));
    let login = login(&world, GroupId(1));
    let here = world.holder(GroupId(1)).0;
    change(&mut world, 1, DeviceChange::SetLogin(Some(login))).unwrap();
    admit(&mut world, here, 50, login, HOUR).unwrap();
    let token = SetupPublic::new([1; 32]);
    let expires = world.now.plus_ms(HOUR);
    world.ask(OperatorRequest::SetupToken { token, expires }).unwrap();
    let claim = || Act::Account(AccountChange::Claim(token));
    assert_eq!(world.act_by(by(50), claim()), Err(Reason::NotPermitted));
    world.act_by(by(2), claim()).unwrap();
    let set = |world: &mut World, role| {
        let change = AccountChange::SetRole { account: ANN, role };
        world.act_by(by(2), Act::Account(change)).unwrap();
    };
    set(&mut world, Some(Role::User));
    assert_eq!(ids(&world.state), [client(1), client(50)]);
    set(&mut world, Some(Role::Admin));
    assert_eq!(ids(&world.state), [client(1)]);
    assert!(barred(&world, 50));
    assert_eq!(admit(&mut world, here, 51, login, HOUR), Err(Reason::NotPermitted));
    set(&mut world, None);
    assert_eq!(admit(&mut world, here, 51, login, HOUR), Ok(Applied::Done));
}

#[test]
fn a_role_that_is_given_and_taken_over_and_over_does_not_fill_what_everybody_is_told() {
    let mut world = World::with_groups();
    (1..=2).for_each(|id| register(&mut world, id));
    let login = login(&world, GroupId(1));
    let here = SpiffeSubject::Node(world.holder(GroupId(1)).0.node());
    change(&mut world, 1, DeviceChange::SetLogin(Some(login))).unwrap();
    let token = SetupPublic::new([1; 32]);
    let expires = world.now.plus_ms(HOUR);
    world.ask(OperatorRequest::SetupToken { token, expires }).unwrap();
    world.act_by(by(2), Act::Account(AccountChange::Claim(token))).unwrap();
    let mut ids = (0..u16::MAX).map(|number| {
        let [high, low] = number.to_be_bytes();
        let mut id = [0xee; 16];
        (id[0], id[1]) = (high, low);
        ClientId::new(id)
    });
    let refused = (0..100).find_map(|_| {
        for client in ids.by_ref().take(limits::MAX_LOGIN_DEVICES) {
            let admit = AdmitDevice { account: ANN, client, key: [7; 32], login, expires };
            world.act_by(here.clone(), Act::Device(DeviceChange::Admit(admit))).unwrap();
        }
        let mut set = |role| {
            let change = AccountChange::SetRole { account: ANN, role };
            world.act_by(by(2), Act::Account(change))
        };
        set(Some(Role::Admin)).and_then(|_| set(None)).err()
    });
    assert_eq!(refused, Some(Reason::TooMany));
    let barred = world.state.barred().iter().filter(|of| matches!(of, BanSubject::Client(_))).count();
    assert!(barred <= limits::MAX_CHURN_AN_ACCOUNT + limits::MAX_LOGIN_DEVICES, "{barred}");
    assert_eq!(world.state.account(ANN).unwrap().role, None, "nothing was done by halves");
}

#[test]
fn a_login_that_a_thief_made_admits_nobody_after_the_recovery() {
    let mut world = World::with_groups();
    register(&mut world, 1);
    let (login, here) = (login(&world, GroupId(1)), world.holder(GroupId(1)).0);
    change(&mut world, 1, DeviceChange::SetRecovery([9; 32])).unwrap();
    change(&mut world, 1, DeviceChange::SetLogin(Some(login))).unwrap();
    admit(&mut world, here, 50, login, HOUR).unwrap();
    world.act(recover(ANN, 9, 8, 12)).unwrap();
    assert_eq!(ids(&world.state), [client(12)]);
    assert_eq!(admit(&mut world, here, 51, login, HOUR), Err(Reason::NotPermitted));
}
