//! The registry's voters: founding, joining, losing some.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use std::time::{Duration, Instant};

use holdfast_integration_tests::{
    cluster::Cluster,
    job::{Job, Pace},
    report::{Progress, Report},
    steps,
};
use tempfile::tempdir;

#[test]
fn a_founding_hands_out_private_shares_and_credentials() {
    let dir = tempdir().unwrap();
    let mut job = Job::small(dir.path(), Pace::TEST).unwrap();
    steps::found(&mut job, &Progress::hidden()).unwrap();
    assert_eq!(job.cluster.status().unwrap().members.len(), 1);
}

#[test]
fn a_killed_leader_is_replaced_within_five_seconds_and_comes_back() {
    let dir = tempdir().unwrap();
    let mut job = Job::small(dir.path(), Pace::TEST).unwrap();
    let steps: &[(&str, holdfast_integration_tests::job::Step)] = &[
        ("found", steps::found),
        ("voters", steps::join_voters),
        ("kill", steps::kill_leader),
        ("kill again", steps::kill_leader_again),
    ];
    job.run(&mut Report::quiet(), steps).unwrap();
}

#[test]
fn without_a_quorum_nothing_is_acknowledged_and_with_it_everything_is_there() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 0).unwrap();
    cluster.invite("before", "1MiB").unwrap();
    for index in [1, 2] {
        cluster.voter(index).unwrap().kill().unwrap();
    }
    let began = Instant::now();
    let answer =
        cluster.holdfast().run(["node", "allow", &"77".repeat(32), "--role", "node", "--timeout", "5s"]);
    let answer = answer.unwrap();
    assert_eq!(answer.code, 4, "{}", answer.said());
    assert!(began.elapsed() < Duration::from_secs(30));
    for index in [1, 2] {
        cluster.voter(index).unwrap().start_and_wait().unwrap();
    }
    cluster.wait_leader().unwrap();
    let before = cluster.path("invites/before");
    cluster.register("ann", &before).unwrap();
}

#[test]
fn all_voters_restart_from_their_folders_with_the_same_state() {
    let dir = tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 1).unwrap();
    let groups = cluster.create_groups(2).unwrap();
    let events = cluster.export().unwrap().audit().from(0).count();
    cluster.stop().unwrap();
    cluster.cold_start().unwrap();
    assert_eq!(cluster.wait_groups_ready().unwrap().len(), groups.len());
    assert!(cluster.export().unwrap().audit().from(0).count() >= events);
}
