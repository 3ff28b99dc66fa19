//! Processes that are killed, a registry that is away, everything off; and nothing to be found by whoever looks afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use holdfast_integration_tests::{
    job::{Job, Pace, Step},
    report::Report,
    steps,
};
use tempfile::tempdir;

#[test]
fn what_was_acknowledged_survives_kills_outages_and_a_cold_start_and_lies_nowhere_open() {
    let dir = tempdir().unwrap();
    let mut job = Job::small(dir.path(), Pace::TEST).unwrap();
    let steps: &[(&str, Step)] = &[
        ("record", steps::record_if_root),
        ("found", steps::found),
        ("join", steps::join_nodes),
        ("groups", steps::create_groups),
        ("accounts", steps::accounts),
        ("put", steps::put_everything),
        ("kill", steps::kill_node_in_upload),
        ("away", steps::registry_away),
        ("cold", steps::cold_start),
        ("search", steps::canaries),
    ];
    job.run(&mut Report::quiet(), steps).unwrap();
}
