//! Every way to be refused that needs no hardware.

use std::sync::Arc;

use holdfast_domain::{BanSubject, NodeRole, OperatorRequest, Reason, SignedAdmission, codec};
use holdfast_keys::Secret32;
use holdfast_proto::registry::v1::join_reply;

use super::{
    machine::{Ask, EXPORTER, Machine, Talk},
    world::{HOUR, World, denied},
};
use crate::services::{enrolment::EnrolmentService, limits::JOINS_PER_EK};

async fn allowed() -> (World, Machine) {
    let world = World::new().await;
    let machine = Machine::new(&world);
    world.allow(&machine, NodeRole::Node).await;
    (world, machine)
}

#[tokio::test]
async fn a_proof_of_another_stream_is_refused_whatever_challenge_it_names() {
    let (world, machine) = allowed().await;
    let ask = Ask::default();
    let (mut first, mut second) = (Talk::join(&world), Talk::join(&world));
    let join_reply::Message::Challenge(challenge) = first.begin(machine.init(&ask)).await else { panic!() };
    let replayed = machine.prove(&ask, &challenge);
    let join_reply::Message::Challenge(_) = second.begin(machine.init(&ask)).await else { panic!() };
    assert_eq!(denied(second.prove(replayed.clone()).await), Reason::ChallengeUnknown);
    let relabelled = machine.answer(Talk::join(&world), &ask, |proof| {
        let challenge_id = proof.challenge_id.clone();
        *proof = replayed.clone();
        proof.challenge_id = challenge_id;
    });
    assert_eq!(denied(relabelled.await), Reason::CredentialProof);
    assert!(matches!(first.prove(replayed).await, join_reply::Message::Grant(_)));
}

#[tokio::test]
async fn a_wrong_answer_ends_the_stream() {
    let (world, machine) = allowed().await;
    let ask = Ask::default();
    let mut talk = Talk::join(&world);
    let join_reply::Message::Challenge(challenge) = talk.begin(machine.init(&ask)).await else { panic!() };
    let mut proof = machine.prove(&ask, &challenge);
    proof.credential_proof = vec![0; 32].into();
    assert_eq!(denied(talk.prove(proof).await), Reason::CredentialProof);
    assert!(talk.is_over().await, "there is no second attempt");
}

#[tokio::test]
async fn a_proof_for_another_connection_is_refused() {
    let (world, machine) = allowed().await;
    let ask = Ask::default();
    let relayed = machine.answer(Talk::with(&world.enrolment, [1; 32]), &ask, |_| {});
    assert_eq!(denied(relayed.await), Reason::CredentialProof);
}

#[tokio::test]
async fn a_challenge_that_is_not_answered_expires() {
    let (world, machine) = allowed().await;
    let enrolment = EnrolmentService::impatient(Arc::clone(&world.core));
    let mut talk = Talk::with(&enrolment, EXPORTER);
    let join_reply::Message::Challenge(_) = talk.begin(machine.init(&Ask::default())).await else { panic!() };
    assert_eq!(denied(talk.hear().await), Reason::ChallengeUnknown);
}

#[tokio::test]
async fn a_proof_without_a_challenge_is_refused() {
    let (world, machine) = allowed().await;
    let ask = Ask::default();
    let mut talk = Talk::join(&world);
    let join_reply::Message::Challenge(challenge) = talk.begin(machine.init(&ask)).await else { panic!() };
    let proof = machine.prove(&ask, &challenge);
    assert_eq!(denied(Talk::join(&world).prove(proof).await), Reason::ChallengeUnknown);
}

#[tokio::test]
async fn an_unapproved_boot_state_is_refused() {
    let (world, mut machine) = allowed().await;
    machine.pcr = [8; 32];
    assert_eq!(denied(machine.join(&world, &Ask::default()).await), Reason::PcrNotApproved);
}

#[tokio::test]
async fn values_that_were_not_quoted_are_refused() {
    let (world, mut machine) = allowed().await;
    machine.pcr = [8; 32];
    let ask = Ask::default();
    let lied = machine.answer(Talk::join(&world), &ask, |proof| {
        proof.pcr_values = vec![super::world::PCR.to_vec().into()];
    });
    assert_eq!(denied(lied.await), Reason::PcrDigest);
}

#[tokio::test]
async fn an_ek_that_is_allowed_in_one_role_joins_in_no_other() {
    let (world, machine) = allowed().await;
    assert_eq!(denied(machine.join(&world, &Ask::registry()).await), Reason::RoleMismatch);
}

#[tokio::test]
async fn the_node_id_of_another_ek_is_refused() {
    let (world, machine) = allowed().await;
    let other = world.member(NodeRole::Node).await;
    let ask = Ask { node: Some(other.node()), ..Ask::default() };
    assert_eq!(denied(machine.join(&world, &ask).await), Reason::NodeIdMismatch);
}

#[tokio::test]
async fn an_unrestricted_ak_gets_no_challenge() {
    let (world, machine) = allowed().await;
    let mut init = machine.init(&Ask::default());
    let mut ak = init.ak_public.to_vec();
    // TPMA_OBJECT begins after type and name algorithm; `restricted` is bit 16.
    ak[5] ^= 1;
    init.ak_public = ak.into();
    assert_eq!(denied(Talk::join(&world).begin(init).await), Reason::AkAttributes);
}

#[tokio::test]
async fn a_banned_machine_is_refused_until_the_ban_is_lifted() {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    world.ask(OperatorRequest::Ban(BanSubject::Node(machine.node()))).await.unwrap();
    assert_eq!(denied(machine.join(&world, &Ask::default()).await), Reason::EkBanned);
    world.ask(OperatorRequest::Unban(BanSubject::Node(machine.node()))).await.unwrap();
    machine.granted(&world, &Ask::default()).await;
}

#[tokio::test]
async fn an_admission_that_no_operator_signed_admits_nobody() {
    let world = World::new().await;
    let machine = Machine::new(&world);
    let admission = world.admission(OperatorRequest::AllowEk { ek: machine.ek(), role: NodeRole::Node });
    let bytes = codec::encode(&admission).unwrap();
    let unsigned = SignedAdmission { bytes, signatures: Vec::new() };
    assert_eq!(world.submit(unsigned).await, Err(Reason::AdmissionUnsigned));
    assert_eq!(denied(machine.join(&world, &Ask::default()).await), Reason::EkNotAdmitted);
}

#[tokio::test]
async fn tickets_are_for_their_role_and_time_and_for_tpms_of_known_makers() {
    let world = World::new().await;
    let (seed, other) = (Secret32::from_bytes([3; 32]), Secret32::from_bytes([4; 32]));
    world.ticket(&seed, NodeRole::Registry).await;
    let ask = Ask::with_ticket(&seed);
    assert_eq!(denied(Machine::new(&world).join(&world, &ask).await), Reason::RoleMismatch);
    let ask = Ask { role: NodeRole::Registry, ..Ask::with_ticket(&seed) };
    assert_eq!(denied(Machine::of_no_known_maker().join(&world, &ask).await), Reason::EkCertificate);
    let unknown = Ask::with_ticket(&other);
    assert_eq!(denied(Machine::new(&world).join(&world, &unknown).await), Reason::TicketUnknown);
    world.pass(HOUR);
    assert_eq!(denied(Machine::new(&world).join(&world, &ask).await), Reason::TicketUnknown);
}

#[tokio::test]
async fn the_approval_queue_takes_tpms_of_known_makers_only() {
    let world = World::new().await;
    let machine = Machine::of_no_known_maker();
    assert_eq!(denied(machine.join(&world, &Ask::queued()).await), Reason::EkNotAdmitted);
}

#[tokio::test]
async fn nothing_is_used_up_while_nothing_can_be_issued() {
    let world = World::closed().await;
    let machine = Machine::new(&world);
    let seed = Secret32::from_bytes([3; 32]);
    world.ticket(&seed, NodeRole::Node).await;
    let ask = Ask::with_ticket(&seed);
    assert_eq!(denied(machine.join(&world, &ask).await), Reason::NotReady);
    world.open();
    world.core.set_clock_sound(false);
    assert_eq!(denied(machine.join(&world, &ask).await), Reason::ClockSkew);
    world.core.set_clock_sound(true);
    machine.granted(&world, &ask).await;
}

#[tokio::test]
async fn an_ek_that_proves_itself_too_often_is_slowed_down_and_others_are_not() {
    let (world, machine) = allowed().await;
    let mut refused = None;
    for _ in 0..=JOINS_PER_EK.burst {
        if let join_reply::Message::Denied(denied) = machine.join(&world, &Ask::default()).await {
            refused = Some(denied.reason);
        }
    }
    assert_eq!(refused.as_deref(), Some(Reason::RateLimited.code()));
    world.member(NodeRole::Node).await;
}

#[tokio::test]
async fn messages_over_their_limits_are_refused() {
    let (world, machine) = allowed().await;
    let mut init = machine.init(&Ask::default());
    init.ek_public = vec![0; 2000].into();
    assert_eq!(denied(Talk::join(&world).begin(init).await), Reason::Malformed);
    let ask = Ask::default();
    let fat = machine.answer(Talk::join(&world), &ask, |proof| {
        proof.event_log = vec![0; 200 * 1024].into();
    });
    assert_eq!(denied(fat.await), Reason::Malformed);
    let ask = Ask { address: "nowhere", ..Ask::default() };
    assert_eq!(denied(machine.join(&world, &ask).await), Reason::Malformed);
}
