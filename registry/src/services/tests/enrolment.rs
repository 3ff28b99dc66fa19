//! Joins that end well.

use holdfast_certs::Purpose;
use holdfast_domain::{
    KeySubject, NodeRole, OperatorRequest, PcrApproval, PendingId, Reason, SpiffeSubject, WrapRow,
    WrapTarget, codec, wrap::MAX_WRAP,
};
use holdfast_keys::{Crk, Secret32, Signer as _};
use holdfast_proto::registry::v1::join_reply;
use holdfast_registry_state::AdmittedBy;

use super::{
    machine::{Ask, Machine},
    world::{HOUR, World, denied},
};

fn pending(message: join_reply::Message) -> PendingId {
    match message {
        join_reply::Message::Pending(pending) => PendingId::try_from(pending.pending_id.as_ref()).unwrap(),
        other => panic!("not pending: {other:?}"),
    }
}

#[tokio::test]
async fn an_allowed_machine_gets_leaves_for_both_keys_and_what_to_trust() {
    let world = World::new().await;
    let machine = Machine::new(&world);
    world.allow(&machine, NodeRole::Node).await;
    let grant = machine.granted(&world, &Ask::default()).await;
    assert_eq!(grant.node_id.as_ref(), machine.node().as_bytes());
    let tls = world.certified(&grant.tls_chain, Purpose::Client);
    let listener = world.certified(&grant.listener_chain, Purpose::Server);
    assert_eq!(tls.spiffe.subject, SpiffeSubject::Node(machine.node()));
    assert_eq!(tls.spki_hash, machine.tpm.tls_signer().public().spki_hash());
    assert_eq!(listener.spki_hash, machine.tpm.listener().spki_hash());
    assert_eq!(listener.not_after, world.core.now().plus_ms(HOUR));
    assert_eq!(grant.renew_after_ms, world.core.now().plus_ms(HOUR / 2).0);
    let approval: PcrApproval = codec::decode(&grant.pcr_approvals[0], 4096).unwrap();
    assert_eq!((grant.pcr_approvals.len(), approval.role), (1, NodeRole::Node));
    assert_eq!((grant.voters.len(), grant.replica_id, grant.crk_wraps.len()), (1, 0, 0));
    assert!(grant.bundle.unwrap().genesis.is_some());
    let state = world.core.state();
    assert_eq!(state.member(machine.node()).unwrap().admitted_by, AdmittedBy::Ek);
}

#[tokio::test]
async fn a_ticket_admits_one_machine() {
    let world = World::new().await;
    let seed = Secret32::from_bytes([3; 32]);
    world.ticket(&seed, NodeRole::Node).await;
    let (first, second) = (Machine::new(&world), Machine::new(&world));
    first.granted(&world, &Ask::with_ticket(&seed)).await;
    assert_eq!(denied(second.join(&world, &Ask::with_ticket(&seed)).await), Reason::TicketUsed);
    first.granted(&world, &Ask::with_ticket(&seed)).await;
}

#[tokio::test]
async fn a_machine_that_wants_to_wait_is_let_in_when_operators_approve_it() {
    let world = World::new().await;
    let machine = Machine::new(&world);
    assert_eq!(denied(machine.join(&world, &Ask::default()).await), Reason::EkNotAdmitted);
    assert_eq!(world.core.state().pending().count(), 0);
    let id = pending(machine.join(&world, &Ask::queued()).await);
    assert_eq!(pending(machine.join(&world, &Ask::queued()).await), id);
    assert_eq!(pending(machine.join(&world, &Ask::default()).await), id, "it waits already");
    let approve = OperatorRequest::Approve { pending: id, ek: machine.ek(), role: NodeRole::Node };
    world.ask(approve).await.unwrap();
    machine.granted(&world, &Ask::default()).await;
    assert_eq!(world.core.state().pending().count(), 0);
}

#[tokio::test]
async fn a_new_voter_gets_the_registrys_key_wrapped_to_its_tpm() {
    let world = World::new().await;
    let machine = Machine::new(&world);
    world.allow(&machine, NodeRole::Registry).await;
    let grant = machine.granted(&world, &Ask::registry()).await;
    let leaf = world.certified(&grant.listener_chain, Purpose::Server);
    assert_eq!(leaf.spiffe.subject, SpiffeSubject::Registry(machine.node()));
    assert!(grant.replica_id > 1);
    let row: WrapRow = codec::decode(&grant.crk_wraps[0].bytes, MAX_WRAP).unwrap();
    let WrapTarget::Tpm { blob, .. } = &row.target else { panic!("not for a TPM") };
    let opened = Crk::from_secret(machine.tpm.unwrap(blob).unwrap());
    assert_eq!((row.subject, opened.kcv()), (KeySubject::Crk, row.kcv));
    assert_eq!(opened.expose_for_wrapping(), &[6; 32]);
    assert_eq!(row.by, world.core.me());
}

#[tokio::test]
async fn a_machine_that_lost_everything_but_its_tpm_comes_back_as_itself() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    let moved = Ask { address: "10.0.0.2:7100", node: Some(machine.node()), ..Ask::default() };
    machine.granted(&world, &moved).await;
    let state = world.core.state();
    let member = state.member(machine.node()).unwrap();
    assert_eq!((member.incarnation, member.address.as_str()), (2, "10.0.0.2:7100"));
}
