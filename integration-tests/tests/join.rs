//! Machines that join: the three ways in, and a second try.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use holdfast_integration_tests::{
    cluster::{Cluster, Role},
    job::{Job, Pace, Step},
    report::Report,
    steps,
    tpm::Boot,
};
use tempfile::tempdir;

#[test]
fn five_nodes_join_by_ek_ticket_and_approval_and_are_who_they_say() {
    let dir = tempdir().unwrap();
    let mut job = Job::small(dir.path(), Pace::TEST).unwrap();
    let steps: &[(&str, Step)] = &[("found", steps::found), ("join", steps::join_nodes)];
    job.run(&mut Report::quiet(), steps).unwrap();
    job.cluster.expect_all_running().unwrap();
}

#[test]
fn a_refused_machine_joins_with_the_same_command_once_it_is_admitted() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 0).unwrap();
    let mut node = cluster.next_node().unwrap();
    let root_hash = cluster.founded().unwrap().root_hash.clone();
    let registries = cluster.registries();
    let refused = node.join(&registries, &root_hash, &[]).unwrap_err();
    assert!(format!("{refused:#}").contains("ek_not_admitted"), "{refused:#}");
    cluster.allow(&node.ek, Role::Node).unwrap();
    node.join(&registries, &root_hash, &[]).unwrap();
    node.start_and_wait().unwrap();
    cluster.nodes.push(node);
    cluster.create_groups(1).unwrap();
}

#[test]
fn a_machine_that_was_admitted_as_a_node_is_no_voter() {
    let dir = tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 0).unwrap();
    let machine = cluster.new_server(Role::Registry, 7, Boot::Good).unwrap();
    cluster.allow(&machine.ek, Role::Node).unwrap();
    let arguments =
        machine.join_arguments(&cluster.registries(), &cluster.founded().unwrap().root_hash).unwrap();
    machine.cli().refused(arguments, "role_mismatch").unwrap();
}

#[test]
fn a_new_kernel_is_one_approval_away() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 1).unwrap();
    cluster.approve_boot(Role::Node, Boot::Changed).unwrap();
    let node = cluster.node(0).unwrap();
    // The node learns of the approval while it runs, and needs no registry to unseal with it.
    holdfast_integration_tests::wait::until(std::time::Duration::from_secs(10), "the approval", || {
        let approvals = std::fs::read(node.data().join("identity/approvals"))?;
        let value = Boot::Changed.value(7);
        Ok(approvals.windows(32).any(|window| window == value).then_some(()))
    })
    .unwrap();
    node.stop().unwrap();
    node.machine.boot(Boot::Changed).unwrap();
    node.start_and_wait().unwrap();
}
