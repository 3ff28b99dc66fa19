use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use holdfast_domain::{UnixMs, UploadId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::{entry::HEADER_LEN, *};
use crate::limits::MAX_CHUNK_BYTES;

const SMALL: SegmentOptions = SegmentOptions {
    segment_bytes: 16 * 1024,
    reserve_bytes: 0,
    staged_ttl_ms: 1000,
    on_damage: OnDamage::Refuse,
};

fn open(dir: &TempDir) -> SegmentStore {
    SegmentStore::open(&dir.path().join("segments"), SMALL).unwrap()
}

fn id(n: u8) -> ChunkId {
    ChunkId([n; 16])
}

fn upload(n: u8) -> UploadId {
    UploadId::new([n; 16])
}

fn staged(n: u8, of: u8) -> NewChunk {
    NewChunk {
        id: id(n),
        upload: upload(of),
        index: n.into(),
        state: ChunkState::Staged,
        staged_at: UnixMs(0),
    }
}

fn live(n: u8, of: u8) -> NewChunk {
    NewChunk { state: ChunkState::Live, ..staged(n, of) }
}

/// Content that no two chunks share.
fn content(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap() ^ n).collect()
}

fn put(store: &SegmentStore, chunk: NewChunk) {
    let position = store.append(&chunk, &content(chunk.id.0[0], 1500)).unwrap();
    store.sync(position).unwrap();
}

fn holds(store: &SegmentStore, n: u8) -> bool {
    match store.read(id(n)).unwrap() {
        Some(bytes) => {
            assert_eq!(bytes, content(n, 1500));
            true
        }
        None => false,
    }
}

fn files(dir: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir.path().join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

/// Ends a store as a killed process does: without its clean close.
fn kill(store: SegmentStore) {
    std::mem::forget(store);
}

#[test]
fn chunks_read_back_after_a_clean_close_and_after_a_kill() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..30).for_each(|n| put(&store, staged(n, n / 3)));
    assert!(files(&dir).len() > 2);
    kill(store);
    let store = open(&dir);
    assert!((0..30).all(|n| holds(&store, n)));
    drop(store);
    let store = open(&dir);
    assert!((0..30).all(|n| holds(&store, n)));
    assert!(!holds(&store, 30));
    assert_eq!(
        store.chunks_of(upload(2)).iter().map(|chunk| chunk.id).collect::<Vec<_>>(),
        [id(6), id(7), id(8)]
    );
}

#[test]
fn what_became_of_a_chunk_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..6).for_each(|n| put(&store, staged(n, n / 2)));
    store.mark_live(upload(0)).unwrap();
    store.delete_upload(upload(1)).unwrap();
    store.delete_chunks(&[id(4)]).unwrap();
    store.sync_all().unwrap();
    kill(store);
    let store = open(&dir);
    assert_eq!(store.info(id(0)).unwrap().state, ChunkState::Live);
    assert_eq!(store.info(id(5)).unwrap().state, ChunkState::Staged);
    assert_eq!([2, 3, 4].map(|n| holds(&store, n)), [false; 3]);
    assert_eq!(store.uploads().into_iter().collect::<Vec<_>>(), [upload(0), upload(2)]);
}

#[test]
fn staged_chunks_expire_and_live_ones_do_not() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, staged(1, 1));
    put(&store, staged(2, 2));
    put(&store, live(3, 3));
    put(&store, NewChunk { staged_at: UnixMs(500), ..staged(4, 1) });
    store.mark_live(upload(2)).unwrap();
    assert_eq!(store.expire_staged(UnixMs(999)).unwrap(), 0);
    assert_eq!(store.expire_staged(UnixMs(1000)).unwrap(), 1);
    assert_eq!([1, 2, 3, 4].map(|n| holds(&store, n)), [false, true, true, true]);
}

#[test]
fn a_chunk_that_is_there_is_not_written_again_and_its_name_is_not_given_away() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, staged(1, 1));
    let written = store.stats().written_bytes;
    put(&store, staged(1, 1));
    assert_eq!(store.stats().written_bytes, written);
    let other = store.append(&staged(1, 1), b"other");
    assert!(matches!(other, Err(SegmentError::IdTaken(taken)) if taken == id(1)));
    put(&store, live(1, 1));
    assert_eq!(store.info(id(1)).unwrap().state, ChunkState::Live);
}

#[test]
fn empty_and_over_long_chunks_are_refused() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    for len in [0, MAX_CHUNK_BYTES + 1] {
        let result = store.append(&staged(1, 1), &vec![1; len]);
        assert!(matches!(result, Err(SegmentError::ChunkLength { len: refused }) if refused == len));
    }
}

#[test]
fn a_flipped_byte_of_a_chunk_is_an_error_that_names_file_and_offset() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..3).for_each(|n| put(&store, staged(n, 0)));
    drop(store);
    let second = u64::try_from(HEADER_LEN).unwrap() + 1500;
    flip(&files(&dir)[0], second + 500);
    let store = open(&dir);
    let error = store.read(id(1)).unwrap_err();
    assert!(
        matches!(&error, SegmentError::Corrupt { path, offset } if *path == files(&dir)[0] && *offset == second)
    );
    assert!(holds(&store, 0) && holds(&store, 2));
    store.delete_chunks(&[id(1)]).unwrap();
    put(&store, staged(1, 0));
    assert!(holds(&store, 1));
}

#[test]
fn a_flipped_byte_of_a_header_refuses_to_open_or_leaves_a_hole_as_asked() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..30).for_each(|n| put(&store, staged(n, 0)));
    drop(store);
    let second = u64::try_from(HEADER_LEN).unwrap() + 1500;
    for file in [files(&dir).first().unwrap(), files(&dir).last().unwrap()] {
        flip(file, second + 30);
        let error = SegmentStore::open(&dir.path().join("segments"), SMALL).err().unwrap();
        assert!(matches!(error, SegmentError::Corrupt { path, offset } if path == *file && offset == second));
        let skipping = SegmentOptions { on_damage: OnDamage::Skip, ..SMALL };
        let store = SegmentStore::open(&dir.path().join("segments"), skipping).unwrap();
        assert_eq!(store.damage(), [Damage { path: file.clone(), offset: second }]);
        assert_eq!((0..30).filter(|n| !holds(&store, *n)).count(), 1);
        drop(store);
        flip(file, second + 30);
    }
}

#[test]
fn damage_in_front_of_a_torn_tail_is_still_damage() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..4).for_each(|n| put(&store, staged(n, 0)));
    store.append(&staged(4, 0), &content(4, 1500)).unwrap();
    kill(store);
    let entry = u64::try_from(HEADER_LEN).unwrap() + 1500;
    // The third was durable when the fourth was written; the fifth is torn.
    flip(&files(&dir)[0], 2 * entry + 10);
    flip(&files(&dir)[0], 4 * entry + 700);
    let error = SegmentStore::open(&dir.path().join("segments"), SMALL).err().unwrap();
    assert!(matches!(error, SegmentError::Corrupt { offset, .. } if offset == 2 * entry));
}

#[test]
fn compaction_keeps_what_is_wanted_and_gives_space_back() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..60).for_each(|n| put(&store, staged(n, n % 10)));
    store.mark_live(upload(3)).unwrap();
    let before = store.stats();
    (0..10).filter(|n| *n != 3 && *n != 4).for_each(|n| {
        store.delete_upload(upload(n)).unwrap();
    });
    let mut compacted = 0;
    while store.compact().unwrap().is_some() {
        compacted += 1;
        assert!(compacted < 100);
    }
    let after = store.stats();
    assert!(after.segments * 2 < before.segments, "{before:?} {after:?}");
    assert_eq!(u64::try_from(files(&dir).len()).unwrap(), after.segments);
    kill(store);
    let store = open(&dir);
    for n in 0..60 {
        assert_eq!(holds(&store, n), n % 10 == 3 || n % 10 == 4);
    }
    assert!(store.chunks_of(upload(3)).iter().all(|chunk| chunk.state == ChunkState::Live));
    assert!(store.chunks_of(upload(4)).iter().all(|chunk| chunk.state == ChunkState::Staged));
    assert_eq!(store.stats().wanted_bytes, after.wanted_bytes);
}

#[test]
fn a_damaged_chunk_stops_compaction_of_its_segment_until_it_is_dropped() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..11).for_each(|n| put(&store, staged(n, 1 + n % 4)));
    (1..4).for_each(|n| {
        store.delete_upload(upload(n)).unwrap();
    });
    let entry = u64::try_from(HEADER_LEN).unwrap() + 1500;
    flip(&files(&dir)[0], 3 * entry + 700);
    assert!(matches!(store.compact(), Err(SegmentError::Corrupt { offset, .. }) if offset == 3 * entry));
    assert!(holds(&store, 7));
    store.delete_chunks(&[id(3)]).unwrap();
    assert!(store.compact().unwrap().is_some());
    assert!(holds(&store, 7));
}

#[test]
fn a_full_disk_refuses_new_content_and_leaves_reading_deleting_and_compaction() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    (0..30).for_each(|n| put(&store, staged(n, n % 3)));
    drop(store);
    let full = SegmentOptions { reserve_bytes: u64::MAX / 2, ..SMALL };
    let store = SegmentStore::open(&dir.path().join("segments"), full).unwrap();
    let refused = (100..120).map(|n| store.append(&staged(n, 9), &content(n, 1500))).find_map(Result::err);
    assert!(matches!(refused, Some(SegmentError::DiskFull { .. })));
    assert!((0..30).all(|n| holds(&store, n)));
    (0..2).for_each(|n| {
        store.delete_upload(upload(n)).unwrap();
    });
    while store.compact().unwrap().is_some() {}
    assert!((0..30).all(|n| holds(&store, n) == (n % 3 == 2)));
}

#[test]
fn writers_that_wait_together_are_all_served() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let store = &store;
            scope.spawn(move || (0..10).for_each(|n| put(store, staged(worker * 10 + n, worker))));
        }
        scope.spawn(|| {
            for _ in 0..20 {
                store.compact().unwrap();
            }
        });
    });
    kill(store);
    let store = open(&dir);
    assert!((0..80).all(|n| holds(&store, n)));
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8, bool),
    Live(u8),
    DeleteUpload(u8),
    DeleteChunk(u8),
    Compact,
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..24, any::<bool>()).prop_map(|(n, live)| Step::Put(n, n % 5, live)),
        1 => (0u8..5).prop_map(Step::Live),
        2 => (0u8..5).prop_map(Step::DeleteUpload),
        3 => (0u8..24).prop_map(Step::DeleteChunk),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Deaths, re-uploads, compaction and restarts in any order leave exactly what a map would hold.
    #[test]
    fn invariant_the_store_is_a_map_whatever_is_compacted_or_restarted(steps in prop::collection::vec(step(), 1..80)) {
        let dir = TempDir::new().unwrap();
        let mut store = Some(open(&dir));
        let mut model: BTreeMap<u8, ChunkState> = BTreeMap::new();
        for step in steps {
            let current = store.as_ref().unwrap();
            match step {
                Step::Put(n, of, is_live) => {
                    let chunk = if is_live { live(n, of) } else { staged(n, of) };
                    current.append(&chunk, &content(n, 1500)).unwrap();
                    let state = model.entry(n).or_insert(chunk.state);
                    if is_live {
                        *state = ChunkState::Live;
                    }
                }
                Step::Live(of) => {
                    current.mark_live(upload(of)).unwrap();
                    model.iter_mut().filter(|(n, _)| *n % 5 == of).for_each(|(_, state)| *state = ChunkState::Live);
                }
                Step::DeleteUpload(of) => {
                    current.delete_upload(upload(of)).unwrap();
                    model.retain(|n, _| n % 5 != of);
                }
                Step::DeleteChunk(n) => {
                    current.delete_chunks(&[id(n)]).unwrap();
                    model.remove(&n);
                }
                Step::Compact => drop(current.compact().unwrap()),
                Step::Reopen => {
                    drop(store.take());
                    store = Some(open(&dir));
                }
                Step::Kill => {
                    kill(store.take().unwrap());
                    store = Some(open(&dir));
                }
            }
            let current = store.as_ref().unwrap();
            for n in 0..24 {
                prop_assert_eq!(holds(current, n), model.contains_key(&n));
                prop_assert_eq!(current.info(id(n)).map(|info| info.state), model.get(&n).copied());
            }
        }
    }

    /// Whatever a power cut leaves behind what was synced, the synced chunks are there and appending goes on.
    #[test]
    fn invariant_a_torn_tail_loses_nothing_that_was_synced(
        garbage in prop::collection::vec(any::<u8>(), 0..4000),
        zero_from in 0usize..4000,
        unsynced in 0u8..3,
    ) {
        let dir = TempDir::new().unwrap();
        let store = open(&dir);
        (0..5).for_each(|n| put(&store, staged(n, 0)));
        let entry = u64::try_from(HEADER_LEN).unwrap() + 1500;
        (5..5 + unsynced).for_each(|n| { store.append(&staged(n, 0), &content(n, 1500)).unwrap(); });
        kill(store);
        let file = fs::OpenOptions::new().write(true).open(&files(&dir)[0]).unwrap();
        // Somewhere in the entries that were not synced, or right behind the last synced one.
        let at = 5 * entry + u64::try_from(zero_from).unwrap() * u64::from(unsynced) / 3;
        file.write_all_at(&garbage, at).unwrap();
        let store = open(&dir);
        prop_assert!((0..5).all(|n| holds(&store, n)));
        (20..25).for_each(|n| put(&store, staged(n, 2)));
        kill(store);
        let store = open(&dir);
        prop_assert!((0..5).chain(20..25).all(|n| holds(&store, n)));
        for n in 5..8 {
            holds(&store, n);
        }
    }

    #[test]
    fn arbitrary_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("segments")).unwrap();
        fs::write(dir.path().join("segments/0000000000000001.segment"), bytes).unwrap();
        let store = open(&dir);
        put(&store, staged(1, 1));
        prop_assert!(holds(&store, 1));
    }
}
