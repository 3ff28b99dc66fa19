//! Power losses at any moment: what was acknowledged is there, and every store opens.

use holdfast_faults::{
    disk::{Disk, Fault, Syncs},
    draw::{Draw, test_seed},
    power::Loss,
};

use crate::{child::Worker, stores::Store};

/// Lives of each store that end in a power loss; more when asked for.
fn rounds(few: u64) -> u64 {
    std::env::var("HOLDFAST_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}

/// One store through several power losses, each at a drawn change or sync, also while it recovers from the one before.
fn survives(store: Store) {
    let seed = test_seed();
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(&dir.path().join("disk"), Syncs::WrittenDown).unwrap();
    let mut draw = Draw::new(seed);
    let (mut last, mut most, mut refused, mut lost) = (0, 0, 0, Loss::default());
    let rounds = rounds(6);
    for round in 0..rounds {
        let steps = 1 + if draw.once_in(3) { draw.below(12) } else { draw.below(400) };
        disk.set(&[Fault::KillAt(steps)]).unwrap();
        let ended = Worker::write(store, &disk, last + 1).end();
        let what = format!("{store:?}, round {round}, replay with HOLDFAST_SEED={seed}: {ended:?}");
        assert!(ended.killed(), "{what}");
        let loss = disk.lose_power(&mut draw).unwrap();
        lost.sectors += loss.sectors;
        lost.names.extend(loss.names.iter().cloned());
        let acknowledged = ended.acknowledged.max(last);
        let found = Worker::check(store, disk.folder(), acknowledged).end();
        if store == Store::Sled && found.said.starts_with("refused Damaged") {
            // It may say so: it is made anew from snapshot and log. It may not be silent, nor fall over.
            std::fs::remove_dir_all(disk.folder()).unwrap();
            std::fs::create_dir(disk.folder()).unwrap();
            disk.forget().unwrap();
            (last, refused) = (0, refused + 1);
            continue;
        }
        let whole = found.said.strip_prefix("whole ").and_then(|last| last.parse().ok());
        last = whole.unwrap_or_else(|| panic!("{what}\n{loss:?}, then {found:?}"));
        most = most.max(last);
    }
    assert!(most > 0 && lost.sectors + lost.names.len() > 0, "{store:?}, seed {seed}: nothing was at stake");
    assert!(refused <= 1 + rounds / 3, "{store:?}, seed {seed}: {refused} of {rounds} opens were refused");
}

#[test]
fn invariant_sled_keeps_what_was_acknowledged_when_sectors_are_torn() {
    survives(Store::Sled);
}

#[test]
fn invariant_redb_keeps_what_was_acknowledged_when_sectors_are_torn() {
    survives(Store::Redb);
}

#[test]
fn invariant_segments_keep_what_was_acknowledged_when_sectors_are_torn() {
    survives(Store::Segments);
}

#[test]
fn invariant_the_raft_log_and_snapshots_keep_what_was_acknowledged_when_sectors_are_torn() {
    survives(Store::Raft);
}

#[test]
fn invariant_the_data_folder_keeps_what_was_acknowledged_when_sectors_are_torn() {
    survives(Store::Folder);
}

/// The bug put back: what was not synced is lost sooner or later.
#[test]
fn the_harness_sees_what_a_missing_sync_loses() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(&dir.path().join("disk"), Syncs::WrittenDown).unwrap();
    let lost = (0..8).any(|seed| {
        let mut worker = Worker::write(Store::Redb, &disk, 1);
        let acknowledged = std::iter::from_fn(|| worker.next()).nth(20).unwrap();
        let acknowledged: u64 = acknowledged.strip_prefix("ack ").unwrap().parse().unwrap();
        worker.kill();
        // All that came after the barrier counts as if it was acknowledged.
        let written = worker.end().acknowledged.max(acknowledged) + 2;
        disk.lose_power(&mut Draw::new(seed)).unwrap();
        let found = Worker::check(Store::Redb, disk.folder(), written).end().said;
        std::fs::remove_dir_all(disk.folder()).unwrap();
        std::fs::create_dir(disk.folder()).unwrap();
        found.starts_with("wrong")
    });
    assert!(lost);
}
