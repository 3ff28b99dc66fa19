//! Every scenario of faults once, in one cluster's life, with all that its clients saw judged at the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

use holdfast_faults::draw;
use holdfast_integration_tests::chaos::{
    Plan,
    run::{Run, Until, run},
};
use tempfile::tempdir;

#[test]
fn invariant_clients_see_one_register_each_whatever_fails() {
    let dir = tempdir().unwrap();
    let (plan, seed) = (Plan::TEST, draw::test_seed());
    let whole = run(&Run { folder: dir.path(), plan, seed, until: Until::EachOnce, only: &[] });
    if let Err(error) = whole {
        panic!("{error:#}\nlogs: {}", dir.keep().join("logs").display());
    }
}
