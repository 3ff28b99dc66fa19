//! A disk that is full all of a sudden, whatever it said before about its room.

use holdfast_faults::disk::{Disk, Fault, Syncs};

use crate::{child::Worker, stores::Store};

#[test]
fn a_disk_that_is_full_is_an_error_or_the_end_and_nothing_acknowledged_is_lost() {
    // Segments allocate their room by a system call of their own, which the library does not see: their full disk is a real one,
    // among the store's own tests.
    for store in [Store::Sled, Store::Redb, Store::Raft, Store::Folder] {
        for room in [0, 100_000, 1_500_001, 5_000_003] {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::new(&dir.path().join("disk"), Syncs::WrittenDown).unwrap();
            disk.set(&[Fault::Room(room)]).unwrap();
            let ended = Worker::write(store, &disk, 1).end();
            let what = format!("{store:?} with room for {room}: {ended:?}");
            assert!(ended.aborted() || ended.said.starts_with("refused"), "{what}");
            // There is room again: it opens, everything is there, and it goes on.
            disk.set(&[]).unwrap();
            let found = Worker::check(store, disk.folder(), ended.acknowledged).end();
            assert!(found.said.starts_with("whole"), "{what}, then {found:?}");
            let mut on = Worker::write(store, &disk, ended.acknowledged + 1);
            assert!(on.next().is_some_and(|said| said.starts_with("ack")), "{what}, does not go on");
        }
    }
}
