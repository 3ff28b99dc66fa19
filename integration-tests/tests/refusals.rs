//! What must be refused, each with its stable reason.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::time::Duration;

use holdfast_integration_tests::{
    cluster::Cluster,
    steps::refusals::{
        another_nodes_id, changed_boot, misbehaving_member, other_cluster, other_role, replayed_proof,
        swapped_tpm, ticket_twice, unknown_ek, unrestricted_ak, unsigned_admission,
    },
};
use tempfile::tempdir;

fn refused(voters: usize, nodes: usize, refusal: fn(&mut Cluster) -> anyhow::Result<()>) {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), voters, nodes).unwrap();
    refusal(&mut cluster).unwrap();
    cluster.expect_all_running().unwrap();
}

#[test]
fn an_ek_that_nobody_admitted() {
    refused(1, 0, unknown_ek);
}

#[test]
fn a_replayed_proof_whole_and_in_parts() {
    refused(1, 0, replayed_proof);
}

#[test]
fn another_nodes_id_claimed() {
    refused(1, 1, another_nodes_id);
}

#[test]
fn an_ak_that_could_sign_forged_attestations() {
    refused(1, 0, unrestricted_ak);
}

#[test]
fn a_ticket_used_twice_at_two_voters_at_once() {
    refused(2, 0, ticket_twice);
}

#[test]
fn a_changed_boot_chain() {
    refused(1, 1, changed_boot);
}

#[test]
fn a_swapped_tpm() {
    refused(1, 1, swapped_tpm);
}

#[test]
fn certificates_of_another_cluster() {
    refused(1, 0, other_cluster);
}

#[test]
fn certificates_of_another_role() {
    refused(1, 1, other_role);
}

#[test]
fn an_admission_without_the_operators_signature() {
    refused(1, 0, unsigned_admission);
}

#[test]
fn substituted_wraps_foreign_raft_frames_and_a_ban_that_works_within_two_seconds() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 2).unwrap();
    cluster.create_groups(2).unwrap();
    let took = misbehaving_member(&mut cluster).unwrap();
    assert!(took < Duration::from_secs(2));
    cluster.expect_all_running().unwrap();
}
