//! Wraps, evidence, reports.

use std::sync::Arc;

use holdfast_domain::{
    GroupId, JoinEvidence, Kcv, KeyGeneration, KeySubject, NodeId, NodeRole, Reason, ReplicaState,
    SignedAdmission, WrapRow, WrapTarget, codec, evidence::MAX_EVIDENCE,
};
use holdfast_keys::{labels, sign};
use holdfast_proto::registry::v1::{
    GetEvidenceRequest, GetWrapsRequest, PutWrapsRequest, ReplicaReport, ReportRequest, SignedRow,
    custody_server::Custody as _,
};
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
    let message = ReportRequest { group: GROUP.0, replica_id, report: report.into(), other: 0 };
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
