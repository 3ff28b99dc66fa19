//! Renewals over a member's own identity.

use holdfast_certs::Purpose;
use holdfast_domain::{NodeRole, Reason};
use holdfast_proto::registry::v1::join_reply;

use super::{
    machine::{Ask, Machine},
    world::{HOUR, World, denied},
};

#[tokio::test]
async fn a_member_gets_fresh_leaves_and_keeps_its_incarnation() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    world.pass(HOUR / 2);
    let ask = Ask { address: "10.0.0.3:7100", ..Ask::default() };
    let join_reply::Message::Grant(grant) = machine.renew(&world, machine.node(), &ask).await else {
        panic!("refused")
    };
    let leaf = world.certified(&grant.tls_chain, Purpose::Client);
    assert_eq!(leaf.not_after, world.core.now().plus_ms(HOUR));
    let state = world.core.state();
    let member = state.member(machine.node()).unwrap();
    assert_eq!((member.incarnation, member.renewed), (1, world.core.now()));
    assert_eq!(member.address, "10.0.0.3:7100");
}

#[tokio::test]
async fn an_identity_renews_with_its_own_ek_and_role_only() {
    let world = World::new().await;
    let (machine, other) = (world.member(NodeRole::Node).await, world.member(NodeRole::Node).await);
    let foreign = machine.renew(&world, other.node(), &Ask::default()).await;
    assert_eq!(denied(foreign), Reason::NodeIdMismatch);
    let stranger = Machine::new(&world);
    let unknown = stranger.renew(&world, stranger.node(), &Ask::default()).await;
    assert_eq!(denied(unknown), Reason::NotFound);
}

#[tokio::test]
async fn a_clock_that_went_back_is_refused() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    machine.turn_back_clock();
    let renewed = machine.renew(&world, machine.node(), &Ask::default()).await;
    assert_eq!(denied(renewed), Reason::ClockReset);
}

#[tokio::test]
async fn a_renewal_with_an_unapproved_boot_state_is_refused() {
    let world = World::new().await;
    let mut machine = world.member(NodeRole::Node).await;
    machine.pcr = [8; 32];
    let renewed = machine.renew(&world, machine.node(), &Ask::default()).await;
    assert_eq!(denied(renewed), Reason::PcrNotApproved);
}

#[tokio::test]
async fn a_voters_renewal_brings_its_replica_and_its_wrap() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Registry).await;
    let replica = world.core.state().member(machine.node()).unwrap().replica.unwrap();
    let join_reply::Message::Grant(grant) = machine.renew(&world, machine.node(), &Ask::registry()).await
    else {
        panic!("refused")
    };
    assert_eq!((grant.replica_id, grant.crk_wraps.len()), (replica.0, 1));
}

#[tokio::test]
async fn a_machine_at_another_address_is_corrected_in_the_map() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    world.create_groups(2).await;
    let ask = Ask { address: "10.0.0.4:7100", ..Ask::default() };
    machine.renew(&world, machine.node(), &ask).await;
    let state = world.core.state();
    let (_, map) = state.map().unwrap();
    assert!(map.groups.iter().flat_map(|group| &group.replicas).all(|r| r.address == "10.0.0.4:7100"));
}
