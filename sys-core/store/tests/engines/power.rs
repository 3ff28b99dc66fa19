//! Power cuts: what was acknowledged after a barrier is there afterwards, in whole batches.

use std::{os::unix::process::ExitStatusExt as _, thread, time::Duration};

use holdfast_store::{SegmentStore, segments::SegmentOptions};

use crate::{
    child::{Acknowledge, Worker, chunk},
    device::{Device, device},
    kinds::Kind,
    workload::{self, Draw},
};

/// Rounds of a crash test.
pub(crate) fn rounds(few: u64) -> u64 {
    std::env::var("HOLDFAST_CRASH_ROUNDS").map_or(few, |rounds| rounds.parse().unwrap())
}

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    std::env::var("HOLDFAST_CRASH_SEED").map_or_else(
        |_| u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() & 0xffff_ffff).unwrap(),
        |seed| seed.parse().unwrap(),
    )
}

/// One life of a child that ends in a power cut: the last acknowledged number.
fn live_and_cut(device: &mut Device, draw: &mut Draw, mut worker: Worker, mut acknowledged: u64) -> u64 {
    for _ in 0..1 + draw.below(12) {
        acknowledged = worker.acknowledged().unwrap();
    }
    thread::sleep(Duration::from_micros(draw.below(20_000)));
    // A machine without power acknowledges nothing. Here it would: a sync that the cut overtakes in the kernel can still
    // return success. So the child is stopped first; what it is waiting for in the kernel goes on into the cut.
    worker.stop();
    device.cut_power();
    let acknowledged = worker.kill(acknowledged);
    device.restore_power();
    acknowledged
}

fn survives_power_cuts(kind: Kind) {
    let Some(mut device) = device(512) else { return };
    let (seed, folder) = (seed(), device.folder());
    let mut draw = Draw::new(seed);
    let mut last = 0;
    for round in 0..rounds(6) {
        let worker = Worker::engine(kind, &folder, seed, last + 1, Acknowledge::AfterBarrier);
        let acknowledged = live_and_cut(&mut device, &mut draw, worker, last);
        let engine =
            kind.open(&folder).unwrap_or_else(|error| panic!("round {round}, seed {seed}: {error:?}"));
        last = workload::verify(&*engine, seed, acknowledged)
            .unwrap_or_else(|lost| panic!("{kind:?}, round {round}, HOLDFAST_CRASH_SEED={seed}: {lost}"));
        drop(engine);
        if kind == Kind::Sled {
            assert_eq!(
                std::fs::read_dir(folder.join("blobs")).unwrap().count(),
                0,
                "values left the synced file"
            );
        }
    }
    assert!(last > 0);
}

#[test]
fn invariant_sled_keeps_what_was_acknowledged_through_power_cuts() {
    survives_power_cuts(Kind::Sled);
}

#[test]
fn invariant_redb_keeps_what_was_acknowledged_through_power_cuts() {
    survives_power_cuts(Kind::Redb);
}

#[test]
fn invariant_writes_behind_keep_what_was_acknowledged_through_power_cuts() {
    survives_power_cuts(Kind::Behind);
}

#[test]
fn invariant_segments_keep_what_was_acknowledged_through_power_cuts() {
    let Some(mut device) = device(512) else { return };
    let (seed, folder) = (seed(), device.folder());
    let mut draw = Draw::new(seed);
    let mut acknowledged = 0;
    for round in 0..rounds(6) {
        let worker = Worker::segments(&folder, seed, acknowledged);
        acknowledged = live_and_cut(&mut device, &mut draw, worker, acknowledged);
        let options =
            SegmentOptions { segment_bytes: 4 * 1024 * 1024, reserve_bytes: 0, ..SegmentOptions::default() };
        let store = SegmentStore::open(&folder, options).unwrap();
        for n in 0..=acknowledged {
            let (new, sealed) = chunk(seed, n);
            let found = store.read(new.id).unwrap();
            assert!(
                found.is_some_and(|found| found == sealed),
                "chunk {n}, round {round}, HOLDFAST_CRASH_SEED={seed}"
            );
        }
    }
}

/// The bug put back: without a barrier, the harness must see the loss.
#[test]
fn a_power_cut_without_a_barrier_is_seen_to_lose_batches() {
    for kind in Kind::ALL {
        let Some(mut device) = device(512) else { return };
        let mut draw = Draw::new(7);
        let folder = device.folder();
        let worker = Worker::engine(kind, &folder, 7, 1, Acknowledge::AfterWrite);
        let acknowledged = live_and_cut(&mut device, &mut draw, worker, 0);
        let outcome = kind.open(&folder).map_err(|error| error.to_string());
        let outcome = outcome.and_then(|engine| workload::verify(&*engine, 7, acknowledged));
        assert!(outcome.is_err(), "{kind:?}: {acknowledged} unsynced batches survived");
    }
}

#[test]
fn a_failed_sync_ends_the_process() {
    let Some(device) = device(256) else { return };
    let mut worker = Worker::failing_sync(&device.folder());
    worker.acknowledged().unwrap();
    device.cut_power();
    assert_eq!(worker.wait().signal(), Some(6), "aborted");
}

#[test]
fn a_failed_sync_is_an_error_of_its_own_and_stays_one() {
    use holdfast_store::{EngineError, SegmentError};

    let Some(device) = device(512) else { return };
    let folder = device.folder();
    let engines = Kind::ALL.map(|kind| kind.open(&folder.join(format!("{kind:?}"))).unwrap());
    let options =
        SegmentOptions { segment_bytes: 4 * 1024 * 1024, reserve_bytes: 0, ..SegmentOptions::default() };
    let store = SegmentStore::open(&folder.join("segments"), options).unwrap();
    engines.iter().for_each(|engine| engine.write(workload::batch(1, 1)).unwrap());
    let (new, sealed) = chunk(1, 1);
    let position = store.append(&new, &sealed).unwrap();
    device.cut_power();
    for engine in &engines {
        assert!(matches!(engine.barrier(), Err(EngineError::Sync(_))));
        assert!(matches!(engine.barrier(), Err(EngineError::Sync(_))));
        assert!(matches!(engine.write(workload::batch(1, 2)), Err(EngineError::Sync(_))));
    }
    assert!(matches!(store.sync(position), Err(SegmentError::Sync(_))));
    assert!(matches!(store.sync(position), Err(SegmentError::Sync(_))));
    let (new, sealed) = chunk(1, 2);
    assert!(matches!(store.append(&new, &sealed), Err(SegmentError::Sync(_))));
    // sled panics when it is dropped on a dead disk; the process would be gone by now.
    engines.into_iter().for_each(std::mem::forget);
    drop(store);
}
