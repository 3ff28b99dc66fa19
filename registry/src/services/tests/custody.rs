//! Wraps, evidence, reports.

use std::sync::Arc;

use holdfast_domain::{
    GroupId, JoinEvidence, Kcv, KeyGeneration, KeySubject, NodeId, NodeRole, Reason, ReplicaState,
    SignedAdmission, WrapRow, WrapTarget, codec, evidence::MAX_EVIDENCE,
};
use holdfast_keys::{labels, sign};
use holdfast_proto::registry::v1::{
    Floor, GetEvidenceRequest, GetFloorsRequest, GetWrapsRequest, HeartbeatRequest, PutWrapsRequest,
    ReplicaHealth, ReplicaReport, ReportRequest, SignedRow, custody_server::Custody as _,
};
use holdfast_registry_state::{State, plan};
use holdfast_sys_core::Caller;

use super::{
    machine::Machine,
    world::{CLUSTER, World, from, reason},
};
use crate::services::{custody::CustodyService, wire};

const GROUP: GroupId = GroupId(1);

/// A group that founds itself on the one node.
async fn founding() -> (World, CustodyService, Machine) {
    let world = World::new().await;
    let machine = world.member(NodeRole::Node).await;
    world.create_groups(1).await;
    let service = CustodyService::new(Arc::clone(&world.core));
    (world, service, machine)
}

/// The group's key as its founder wraps it: to the officers and to itself.
fn wraps(by: &Machine) -> Vec<SignedRow> {
    let own = WrapTarget::Tpm {
        node: by.node(),
        srk_name: srk_name(by),
        blob: holdfast_domain::WrappedBlob {
            credential: holdfast_domain::CredentialBlob { id_object: vec![1], enc_secret: vec![2] },
            sealed: vec![3],
        },
    };
    let row = |target| WrapRow {
        cluster: CLUSTER,
        subject: KeySubject::Dmk(GROUP),
        generation: KeyGeneration(1),
        target,
        kcv: Kcv::new([1; 16]),
        by: by.node(),
    };
    [WrapTarget::Recovery { sealed: vec![1] }, own]
        .map(|target| sign::sign_value(by.tpm.tls_signer(), labels::WRAP_ROW, &row(target)).unwrap())
        .map(|signed| wire::signed_row(&signed))
        .to_vec()
}

fn srk_name(machine: &Machine) -> Vec<u8> {
    let evidence = machine.evidence(NodeRole::Node, holdfast_domain::ChallengeId::new([0; 16]), [0; 32]);
    holdfast_tpm_verify::Public::parse(&evidence.srk_public).unwrap().name().as_bytes().to_vec()
}

async fn put(service: &CustodyService, caller: NodeId, wraps: Vec<SignedRow>) -> Result<(), tonic::Status> {
    service.put_wraps(from(Caller::Node(caller), PutWrapsRequest { wraps })).await.map(drop)
}

async fn get(service: &CustodyService, caller: Caller, group: u32) -> usize {
    service.get_wraps(from(caller, GetWrapsRequest { group })).await.unwrap().into_inner().wraps.len()
}

async fn report(
    service: &CustodyService,
    (node, replica_id): (NodeId, u64),
    report: ReplicaReport,
) -> Result<(), tonic::Status> {
    about(service, (node, replica_id), report, 0).await
}

async fn about(
    service: &CustodyService,
    (node, replica_id): (NodeId, u64),
    report: ReplicaReport,
    other: u64,
) -> Result<(), tonic::Status> {
    let message = ReportRequest { group: GROUP.0, replica_id, report: report.into(), other };
    service.report(from(Caller::Node(node), message)).await.map(drop)
}

fn replica(world: &World) -> (u64, ReplicaState) {
    let state = world.core.state();
    let replica = &state.map().unwrap().1.group(GROUP).unwrap().replicas[0];
    (replica.replica.0, replica.state)
}

#[tokio::test]
async fn a_group_is_founded_by_wraps_and_a_report() {
    let (world, service, machine) = founding().await;
    let (id, state) = replica(&world);
    assert_eq!(state, ReplicaState::Founding);
    let early = report(&service, (machine.node(), id), ReplicaReport::Founded).await;
    assert_eq!(reason(early), Reason::WrapMismatch, "its key has no way back yet");
    put(&service, machine.node(), wraps(&machine)).await.unwrap();
    assert_eq!(get(&service, Caller::Node(machine.node()), GROUP.0).await, 1);
    report(&service, (machine.node(), id), ReplicaReport::Founded).await.unwrap();
    assert_eq!(replica(&world).1, ReplicaState::Voter);
    report(&service, (machine.node(), id), ReplicaReport::Founded).await.unwrap();
}

/// A wrap of the group's first key to another machine.
fn wrap_to(by: &Machine, target: &Machine) -> SignedRow {
    let mut row: WrapRow = codec::decode(&wraps(by)[1].bytes, holdfast_domain::wrap::MAX_WRAP).unwrap();
    if let WrapTarget::Tpm { node, srk_name: name, .. } = &mut row.target {
        (*node, *name) = (target.node(), srk_name(target));
    }
    wire::signed_row(&sign::sign_value(by.tpm.tls_signer(), labels::WRAP_ROW, &row).unwrap())
}

#[tokio::test]
async fn a_replica_is_moved_by_reports_which_may_all_be_told_again() {
    let (world, service, old) = founding().await;
    let (own, _) = replica(&world);
    put(&service, old.node(), wraps(&old)).await.unwrap();
    report(&service, (old.node(), own), ReplicaReport::Founded).await.unwrap();
    let new = world.member(NodeRole::Node).await;
    let planned = |state: &State| plan::plan_move(state, GROUP, None, new.node());
    world.core.change_map(&world.core.myself(), planned).await.unwrap();
    let learner = {
        let state = world.core.state();
        state.map().unwrap().1.group(GROUP).unwrap().on(new.node()).unwrap().replica.0
    };
    let promoted = async || about(&service, (old.node(), own), ReplicaReport::Promoted, learner).await;
    assert_eq!(reason(promoted().await), Reason::WrapMismatch);
    put(&service, old.node(), vec![wrap_to(&old, &new)]).await.unwrap();
    promoted().await.unwrap();
    promoted().await.unwrap();
    let removed = async |who| about(&service, who, ReplicaReport::Removed, own).await;
    assert_eq!(reason(removed((old.node(), own)).await), Reason::Conflict, "by itself");
    removed((new.node(), learner)).await.unwrap();
    removed((new.node(), learner)).await.unwrap();
    assert_eq!(replica(&world), (learner, ReplicaState::Voter));
    for _ in 0..2 {
        report(&service, (old.node(), own), ReplicaReport::Dropped).await.unwrap();
    }
    assert!(world.core.state().is_rotating(GROUP));
    let rotated = |generation| about(&service, (new.node(), learner), ReplicaReport::Rotated, generation);
    assert_eq!(reason(rotated(2).await), Reason::Conflict, "there is no second generation yet");
    let last = report(&service, (new.node(), learner), ReplicaReport::Lost).await;
    assert_eq!(reason(last), Reason::LastOne);
}

#[tokio::test]
async fn a_node_gets_the_floors_of_its_own_replicas() {
    let (world, service, machine) = founding().await;
    let (own, _) = replica(&world);
    put(&service, machine.node(), wraps(&machine)).await.unwrap();
    report(&service, (machine.node(), own), ReplicaReport::Founded).await.unwrap();
    let health =
        ReplicaHealth { group: GROUP.0, replica_id: own, term: 2, last_log: 40, ..Default::default() };
    let heartbeat = HeartbeatRequest { zone: "a".into(), replicas: vec![health], ..Default::default() };
    service.heartbeat(from(Caller::Node(machine.node()), heartbeat)).await.unwrap();
    let act = world.core.health().floors(&world.core.state()).unwrap();
    world.core.propose(world.core.myself(), act).await.unwrap();
    assert_eq!(world.core.health().floors(&world.core.state()), None, "only what grew");
    let ask = |node| from(Caller::Node(node), GetFloorsRequest {});
    let floors = service.get_floors(ask(machine.node())).await.unwrap().into_inner().floors;
    assert_eq!(floors, [Floor { group: GROUP.0, replica_id: own, term: 2, index: 40 }]);
    let other = world.member(NodeRole::Node).await;
    assert!(service.get_floors(ask(other.node())).await.unwrap().into_inner().floors.is_empty());
}

#[tokio::test]
async fn a_heartbeat_beyond_its_bounds_is_refused() {
    let (_, service, machine) = founding().await;
    let zone = |zone: &str| HeartbeatRequest { zone: zone.into(), ..Default::default() };
    let fault = ReplicaHealth { fault: "x".repeat(257), ..Default::default() };
    let fault = HeartbeatRequest { replicas: vec![fault], ..Default::default() };
    let many = HeartbeatRequest { replicas: vec![ReplicaHealth::default(); 4_097], ..Default::default() };
    for request in [zone("two words"), zone(&"z".repeat(65)), fault, many] {
        let answer = service.heartbeat(from(Caller::Node(machine.node()), request)).await;
        assert_eq!(reason(answer), Reason::Malformed);
    }
    assert!(service.heartbeat(from(Caller::Node(machine.node()), zone(""))).await.is_ok());
}

#[tokio::test]
async fn nobody_speaks_for_another_machine() {
    let (world, service, machine) = founding().await;
    let other = world.member(NodeRole::Node).await;
    assert_eq!(reason(put(&service, other.node(), wraps(&machine)).await), Reason::NotPermitted);
    assert_eq!(reason(put(&service, other.node(), wraps(&other)).await), Reason::NotAMember);
    put(&service, machine.node(), wraps(&machine)).await.unwrap();
    let (id, _) = replica(&world);
    let claimed = report(&service, (other.node(), id), ReplicaReport::Founded).await;
    assert_eq!(reason(claimed), Reason::NotPermitted);
    let dropped = report(&service, (other.node(), id), ReplicaReport::Dropped).await;
    assert_eq!(reason(dropped), Reason::NotFound);
    let lost = report(&service, (other.node(), id), ReplicaReport::Lost).await;
    assert_eq!(reason(lost), Reason::Conflict, "and a founder has nothing to lose");
}

#[tokio::test]
async fn machines_see_wraps_of_their_own_groups_only() {
    let (world, service, machine) = founding().await;
    put(&service, machine.node(), wraps(&machine)).await.unwrap();
    let other = world.member(NodeRole::Node).await;
    assert_eq!(get(&service, Caller::Node(other.node()), GROUP.0).await, 0);
    assert_eq!(get(&service, Caller::Node(machine.node()), 0).await, 0);
    let voter = world.member(NodeRole::Registry).await;
    assert_eq!(get(&service, Caller::Registry(voter.node()), 0).await, 1);
    assert_eq!(get(&service, Caller::Registry(voter.node()), GROUP.0).await, 0);
}

#[tokio::test]
async fn evidence_comes_with_what_the_operators_signed() {
    let (_, service, machine) = founding().await;
    let ask = |node: NodeId| {
        from(Caller::Node(machine.node()), GetEvidenceRequest { node_id: node.as_bytes().to_vec().into() })
    };
    let reply = service.get_evidence(ask(machine.node())).await.unwrap().into_inner();
    let evidence: JoinEvidence = codec::decode(&reply.evidence, MAX_EVIDENCE).unwrap();
    assert_eq!(evidence.ek_public, machine.tpm.ek().public().as_bytes());
    let admission: SignedAdmission = codec::decode(&reply.admission, 1 << 20).unwrap();
    assert_eq!(admission.signatures.len(), 1);
    assert_eq!(reason(service.get_evidence(ask(NodeId::new([0; 16]))).await), Reason::NotFound);
}

#[tokio::test]
async fn too_many_or_malformed_wraps_are_refused() {
    let (_, service, machine) = founding().await;
    let one = wraps(&machine).remove(0);
    assert_eq!(reason(put(&service, machine.node(), vec![one.clone(); 65]).await), Reason::Malformed);
    assert_eq!(reason(put(&service, machine.node(), Vec::new()).await), Reason::Malformed);
    let mut cut = one.clone();
    cut.signature = cut.signature.slice(1..);
    assert_eq!(reason(put(&service, machine.node(), vec![cut]).await), Reason::Malformed);
    let mut forged = wraps(&machine);
    forged[0].signature = vec![1; 64].into();
    assert_eq!(reason(put(&service, machine.node(), forged).await), Reason::WrapSignature);
}
