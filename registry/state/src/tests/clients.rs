//! Clients register once with an invite.

use holdfast_domain::{
    AccountId, BanSubject, ClientId, InvitePublic, OperatorRequest, Reason, SpiffeSubject,
};

use super::world::{HOUR, World};
use crate::{Act, Applied, RegisterClient};

fn register(account: u8, client: u8, key: u8, invite: InvitePublic) -> Act {
    Act::RegisterClient(RegisterClient {
        account: AccountId::new([account; 16]),
        client: ClientId::new([client; 16]),
        key: [key; 32],
        invite,
    })
}

#[test]
fn an_invite_makes_one_account() {
    let mut world = World::founded();
    let invite = world.invite(1);
    assert_eq!(world.act(register(1, 1, 1, invite)), Ok(Applied::Done));
    assert_eq!(world.act(register(1, 1, 1, invite)), Ok(Applied::Done), "the same again is done already");
    assert_eq!(world.act(register(2, 2, 2, invite)), Err(Reason::InviteUnknown));
    let (client, quota) = world.state.client(ClientId::new([1; 16])).unwrap();
    assert_eq!((client.key, quota), ([1; 32], 1_000));
}

#[test]
fn taken_ids_leave_the_invite_usable() {
    let mut world = World::founded();
    let (first, second) = (world.invite(1), world.invite(2));
    world.act(register(1, 1, 1, first)).unwrap();
    assert_eq!(world.act(register(1, 2, 2, second)), Err(Reason::AccountTaken));
    assert_eq!(world.act(register(2, 1, 2, second)), Err(Reason::AccountTaken));
    assert_eq!(world.act(register(2, 2, 2, second)), Ok(Applied::Done));
}

#[test]
fn an_expired_invite_is_refused() {
    let mut world = World::founded();
    let invite = world.invite(1);
    world.now = world.now.plus_ms(HOUR);
    assert_eq!(world.act(register(1, 1, 1, invite)), Err(Reason::InviteUnknown));
}

#[test]
fn a_ban_of_an_account_is_a_ban_of_its_clients() {
    let mut world = World::founded();
    let invite = world.invite(1);
    world.act(register(1, 1, 1, invite)).unwrap();
    let client = SpiffeSubject::Client(ClientId::new([1; 16]));
    assert!(!world.state.is_banned(&client));
    world.ask(OperatorRequest::Ban(BanSubject::Account(AccountId::new([1; 16])))).unwrap();
    assert!(world.state.is_banned(&client));
}
