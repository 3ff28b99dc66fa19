//! A sync that fails: what is on the disk is not known any more, so the process ends and acknowledges nothing.

use holdfast_faults::{
    disk::{Disk, Fault, Syncs},
    draw::Draw,
};

use crate::{child::Worker, stores::Store};

#[test]
fn invariant_a_failed_sync_ends_the_process_before_it_acknowledges_anything_more() {
    for store in [Store::Sled, Store::Redb, Store::Segments, Store::Raft] {
        for nth in [1, 2, 9, 40] {
            let dir = tempfile::tempdir().unwrap();
            let disk = Disk::new(&dir.path().join("disk"), Syncs::WrittenDown).unwrap();
            disk.set(&[Fault::FailSync(nth)]).unwrap();
            let ended = Worker::write(store, &disk, 1).end();
            let refused_to_open = ended.acknowledged == 0 && ended.said.starts_with("refused");
            assert!(ended.aborted() || refused_to_open, "{store:?}, sync {nth}: {ended:?}");
            disk.lose_power(&mut Draw::new(nth)).unwrap();
            let found = Worker::check(store, disk.folder(), ended.acknowledged).end();
            assert!(found.said.starts_with("whole"), "{store:?}, sync {nth}: {ended:?}, then {found:?}");
        }
    }
}

#[test]
fn a_failed_sync_of_the_data_folder_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::new(&dir.path().join("disk"), Syncs::WrittenDown).unwrap();
    disk.set(&[Fault::FailSync(15)]).unwrap();
    let ended = Worker::write(Store::Folder, &disk, 1).end();
    assert!(ended.status.success() && ended.said.starts_with("refused Io"), "{ended:?}");
    disk.lose_power(&mut Draw::new(1)).unwrap();
    let found = Worker::check(Store::Folder, disk.folder(), ended.acknowledged).end();
    assert!(found.said.starts_with("whole"), "{found:?}");
}
