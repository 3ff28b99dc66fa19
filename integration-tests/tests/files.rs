//! Files through the whole stack, and groups that move below them.

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

const START: &[(&str, Step)] = &[
    ("found", steps::found),
    ("join", steps::join_nodes),
    ("groups", steps::create_groups),
    ("move empty", steps::move_empty_group),
    ("accounts", steps::accounts),
];

fn run(pace: Pace, rest: &[(&str, Step)]) {
    let dir = tempdir().unwrap();
    let mut job = Job::small(dir.path(), pace).unwrap();
    job.run(&mut Report::quiet(), START).unwrap();
    job.run(&mut Report::quiet(), rest).unwrap();
}

#[test]
fn every_file_is_listed_comes_back_and_survives_a_move_of_its_group() {
    run(
        Pace::TEST,
        &[
            ("put", steps::put_everything),
            ("list", steps::list_everything),
            ("get", steps::get_everything),
            ("stat, remove", steps::stat_and_remove),
            ("move", steps::move_full_group),
            ("stale map", steps::stale_map),
        ],
    );
}

#[test]
fn a_large_file_needs_little_memory_a_killed_upload_resumes_and_a_quota_holds() {
    let pace = Pace { large_file: 80 << 20, ..Pace::TEST };
    run(pace, &[("large", steps::large_file), ("resume", steps::resume), ("quota", steps::quota)]);
}
