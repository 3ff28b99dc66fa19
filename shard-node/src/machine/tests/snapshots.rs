//! Snapshots: whole, of one moment, and refused when they are not.

use holdfast_domain::GroupId;
use proptest::prelude::*;

use super::support::*;
use crate::machine::{Command, GroupState, Outcome, Table};

fn filled(engine: &std::sync::Arc<dyn holdfast_store::Engine>) -> Replica {
    let mut replica = Replica::ready(engine);
    for id in 1u8..20 {
        let outcome = replica.apply(&Command::Batch(batch(id, vec![], vec![put(id % 7, id.into(), id)])));
        assert_eq!(outcome, Outcome::Applied);
    }
    replica
}

#[test]
fn an_installed_snapshot_is_the_state_as_it_was_when_it_was_taken() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = filled(&engine(dir.path()));
    let view = source.machine.snapshot().unwrap();
    source.apply(&Command::Batch(batch(99, vec![], vec![put(6, 99, 9)])));
    let mut snapshot = Vec::new();
    view.write_to(&mut snapshot).unwrap();
    assert_ne!(snapshot, source.dump());

    let group = source.state.keys().group();
    let target_engine = engine(other_dir.path());
    let mut target = Replica::open(&target_engine, group);
    target.apply(&Command::ActivateSlots { ranges: vec![], epoch: crate::machine::SlotEpoch::FIRST });
    target.machine.install(&mut snapshot.as_slice(), b"theirs").unwrap();
    assert_eq!(target.machine.load_meta().unwrap().unwrap(), b"theirs");
    assert_eq!(target.dump(), snapshot);
    assert!(target.state.verify_digests().unwrap().is_empty());
    // Command ids came along.
    target.index = 1000;
    assert_eq!(target.apply(&Command::Batch(batch(5, vec![], vec![]))), Outcome::Duplicate);

    // Opened again, and installed once more over itself: one incarnation is left.
    let mut again = Replica::open(&target_engine, group);
    again.machine.install(&mut snapshot.as_slice(), b"again").unwrap();
    assert_eq!(Replica::open(&target_engine, group).dump(), snapshot);
    let rows =
        target_engine.scan(&crate::machine::group_range(group), holdfast_store::ScanLimit::MAX).unwrap().rows;
    let incarnations: std::collections::BTreeSet<_> = rows.iter().map(|row| row.key[..13].to_vec()).collect();
    assert_eq!(incarnations.len(), 1);
}

#[test]
fn a_destroyed_group_leaves_nothing_and_its_neighbours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let (mut kept, gone) = (filled(&engine), filled(&engine));
    let (group, before) = (gone.state.keys().group(), kept.dump());
    GroupState::destroy(&*engine, group).unwrap();
    GroupState::destroy(&*engine, group).unwrap();
    assert_eq!(kept.dump(), before);
    assert_eq!(Replica::open(&engine, group).machine.load_meta().unwrap(), None);
    let all = engine.scan(&holdfast_store::KeyRange::all(), holdfast_store::ScanLimit::MAX).unwrap();
    let names = |row: &holdfast_store::Row| row.key[1..5] == group.0.to_be_bytes();
    assert!(!all.rows.iter().any(names));
}

#[test]
fn what_was_applied_is_there_after_a_barrier_and_a_new_start() {
    let dir = tempfile::tempdir().unwrap();
    let (group, dump): (GroupId, _) = {
        let mut replica = filled(&engine(dir.path()));
        (replica.machine.barrier())().unwrap();
        (replica.state.keys().group(), replica.dump())
    };
    let mut replica = Replica::open(&engine(dir.path()), group);
    assert_eq!(replica.dump(), dump);
    assert_eq!(replica.machine.load_meta().unwrap().unwrap(), META);
    assert!(replica.state.read().get_raw(Table::Progress, &[]).unwrap().is_some());
}

#[test]
fn every_cut_snapshot_is_refused_and_the_old_state_stays() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path());
    let snapshot = filled(&engine).dump();
    let mut target = filled(&engine);
    let before = target.dump();
    for cut in (0..snapshot.len()).step_by(37).chain([snapshot.len() - 1]) {
        assert!(target.machine.install(&mut &snapshot[..cut], b"theirs").is_err(), "cut at {cut}");
    }
    assert_eq!(target.dump(), before);
    assert_eq!(target.machine.load_meta().unwrap().unwrap(), META);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_are_no_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..200), begins: bool) {
        let bytes = if begins { [b"HFS1".as_slice(), &bytes].concat() } else { bytes };
        let dir = tempfile::tempdir().unwrap();
        let engine: std::sync::Arc<dyn holdfast_store::Engine> =
            std::sync::Arc::new(holdfast_store::RedbEngine::open(dir.path(), &holdfast_store::engine::RedbOptions::default()).unwrap());
        let mut replica = Replica::fresh(&engine);
        let _ = replica.machine.install(&mut bytes.as_slice(), META);
    }
}
