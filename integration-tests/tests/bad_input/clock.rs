//! Clocks that are an hour off.

use std::{path::Path, time::Duration};

use holdfast_integration_tests::{
    cli::Finished,
    cluster::{Cluster, Role},
    tpm::Boot,
    wait,
};
use tempfile::tempdir;

use super::{assert_failed, assert_no_panic, bounded};

const HOURS: [&str; 2] = ["+3600", "-3600"];

/// What `faketime` would set; `None` where it is not installed.
fn faked(offset: &str) -> Option<[(String, String); 3]> {
    let found = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let library =
        found.map(|entry| entry.path().join("faketime/libfaketime.so.1")).find(|path| path.exists());
    if library.is_none() {
        assert!(std::env::var_os("CI").is_none(), "install the package faketime: .ci/setup does");
        eprintln!("skipped: the package faketime is not installed");
    }
    Some([
        ("LD_PRELOAD".to_owned(), library?.display().to_string()),
        ("FAKETIME".to_owned(), offset.to_owned()),
        // Only what the clock says: time that passes stays what it is.
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ])
}

#[test]
fn a_machine_whose_clock_is_an_hour_off_does_not_join_and_is_told_so() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 0).unwrap();
    let mut node = cluster.next_node().unwrap();
    cluster.allow(&node.ek, Role::Node).unwrap();
    let (registries, root_hash) = (cluster.registries(), cluster.founded().unwrap().root_hash.clone());
    for offset in HOURS {
        let Some(environment) = faked(offset) else { return };
        let arguments = node.join_arguments(&registries, &root_hash).unwrap();
        let finished = run_faked(&cluster, &environment, &arguments);
        assert_failed(&finished, &["clock_skew", "this machine's clock", "set the clock"]);
    }
    node.join(&registries, &root_hash, &[]).unwrap();
    node.start_and_wait().unwrap();
    cluster.nodes.push(node);
    assert_no_panic(&cluster);
}

#[test]
fn a_voter_whose_clock_is_an_hour_off_issues_nothing_and_says_so() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 0).unwrap();
    let root_hash = cluster.founded().unwrap().root_hash.clone();
    for (number, offset) in HOURS.into_iter().enumerate() {
        let Some(environment) = faked(offset) else { return };
        let machine = cluster.new_server(Role::Node, number + 1, Boot::Good).unwrap();
        cluster.allow(&machine.ek, Role::Node).unwrap();
        let voter = cluster.voter(2).unwrap();
        voter.stop().unwrap();
        voter.start_with(&environment).unwrap();
        voter.wait_listening().unwrap();
        wait::until(Duration::from_secs(60), "a voter that says so", || {
            Ok(voter.log_since_start().contains("nothing is issued").then_some(()))
        })
        .unwrap();
        let address = [voter.address()];
        let finished = machine.cli().run(machine.join_arguments(&address, &root_hash).unwrap()).unwrap();
        assert_failed(&finished, &["clock_skew"]);
        // The others issue.
        let others: Vec<_> = cluster.registries().into_iter().take(2).collect();
        let mut machine = machine;
        machine.join(&others, &root_hash, &[]).unwrap();
        let voter = cluster.voter(2).unwrap();
        voter.stop().unwrap();
        voter.start_and_wait().unwrap();
    }
    assert_no_panic(&cluster);
}

/// Joins under another clock. What preloads the library is `env`, so that the limit's own clock is the right one.
fn run_faked(cluster: &Cluster, environment: &[(String, String)], arguments: &[String]) -> Finished {
    let set: Vec<_> = environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let program = cluster.binaries().node().display().to_string();
    let words: Vec<_> = set.into_iter().chain([program]).chain(arguments.iter().cloned()).collect();
    bounded(Path::new("env"), cluster.folder()).run(&words).unwrap()
}
