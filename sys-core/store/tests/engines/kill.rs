//! kill -9 at random moments, many times over one store.

use std::{thread, time::Duration};

use holdfast_store::{SegmentStore, segments::SegmentOptions};
use tempfile::TempDir;

use crate::{
    child::{Acknowledge, Worker, chunk},
    kinds::Kind,
    power::{rounds, seed},
    workload::{self, Draw},
};

fn survives_kills(kind: Kind) {
    let (seed, dir) = (seed(), TempDir::new().unwrap());
    let mut draw = Draw::new(seed);
    let mut last = 0;
    for round in 0..rounds(6) {
        let mut worker = Worker::engine(kind, dir.path(), seed, last + 1, Acknowledge::AfterBarrier);
        let mut acknowledged = worker.acknowledged().unwrap();
        for _ in 0..draw.below(20) {
            acknowledged = worker.acknowledged().unwrap();
        }
        thread::sleep(Duration::from_micros(draw.below(20_000)));
        let acknowledged = worker.kill(acknowledged);
        let engine = kind.open(dir.path()).unwrap();
        last = workload::verify(&*engine, seed, acknowledged)
            .unwrap_or_else(|lost| panic!("{kind:?}, round {round}, HOLDFAST_CRASH_SEED={seed}: {lost}"));
    }
    assert!(last > 0);
}

#[test]
fn invariant_sled_keeps_what_was_acknowledged_through_kill_9() {
    survives_kills(Kind::Sled);
}

#[test]
fn invariant_redb_keeps_what_was_acknowledged_through_kill_9() {
    survives_kills(Kind::Redb);
}

#[test]
fn invariant_writes_behind_keep_what_was_acknowledged_through_kill_9() {
    survives_kills(Kind::Behind);
}

#[test]
fn invariant_segments_keep_what_was_acknowledged_through_kill_9() {
    let (seed, dir) = (seed(), TempDir::new().unwrap());
    let mut draw = Draw::new(seed);
    let mut acknowledged = 0;
    for round in 0..rounds(6) {
        let mut worker = Worker::segments(dir.path(), seed, acknowledged);
        for _ in 0..draw.below(20) {
            acknowledged = worker.acknowledged().unwrap();
        }
        thread::sleep(Duration::from_micros(draw.below(20_000)));
        acknowledged = worker.kill(acknowledged);
        let store = SegmentStore::open(dir.path(), SegmentOptions::default()).unwrap();
        for n in 0..acknowledged {
            let (new, sealed) = chunk(seed, n);
            let found = store.read(new.id).unwrap();
            assert!(
                found.is_some_and(|found| found == sealed),
                "chunk {n}, round {round}, HOLDFAST_CRASH_SEED={seed}"
            );
        }
    }
}
