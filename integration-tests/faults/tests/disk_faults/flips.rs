//! Single bits that flip: the store opens whole, or says what is wrong; nobody reads wrong bytes as right ones.

use std::{
    fs,
    path::{Path, PathBuf},
};

use holdfast_faults::{
    disk::{Disk, Syncs},
    draw::{Draw, test_seed},
};

use crate::{child::Worker, stores::Store};

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.metadata().unwrap().is_dir() {
            files(&path, into);
        } else if path.file_name() != Some("folder.toml".as_ref())
            && fs::read(&path).unwrap().iter().any(|byte| *byte != 0)
        {
            // What a person may edit has no checksum.
            into.push(path);
        }
    }
    into.sort();
}

/// Flips a bit of a byte that is not zero, if one is found: preallocated room says nothing.
fn flip(folder: &Path, draw: &mut Draw) -> String {
    let mut all = Vec::new();
    files(folder, &mut all);
    let file = &all[draw.index(all.len())];
    let mut bytes = fs::read(file).unwrap();
    let written: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    let at = written[draw.index(written.len())];
    bytes[at] ^= 1 << draw.below(8);
    fs::write(file, &bytes).unwrap();
    format!("byte {at} of {}", file.file_name().unwrap().to_string_lossy())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A store with something in it, and how much was acknowledged.
fn filled(store: Store, folder: &Path) -> u64 {
    let disk = Disk::new(folder, Syncs::WrittenDown).unwrap();
    let mut worker = Worker::write(store, &disk, 1);
    for _ in 0..150 {
        worker.next().unwrap();
    }
    worker.kill();
    worker.end().acknowledged
}

/// What a start with one bit flipped says, several times over.
fn after_flips(store: Store, flips: u64) -> Vec<(String, String)> {
    let seed = test_seed();
    let mut draw = Draw::new(seed);
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = filled(store, &dir.path().join("whole"));
    let one = |round: u64| {
        let folder = dir.path().join(format!("flipped-{round}"));
        copy(&dir.path().join("whole"), &folder);
        let what = flip(&folder, &mut draw);
        let ended = Worker::check(store, &folder, acknowledged).end();
        let what = format!("{store:?}, {what}, replay with HOLDFAST_SEED={seed}");
        assert!(ended.status.success() && !ended.said.is_empty(), "{what}: the process died: {ended:?}");
        fs::remove_dir_all(folder).unwrap();
        (what, ended.said)
    };
    (0..flips).map(one).collect()
}

#[test]
fn flipped_bits_in_segments_log_snapshots_and_small_files_are_found() {
    for store in [Store::Segments, Store::Raft, Store::Folder] {
        for (what, said) in after_flips(store, 8) {
            assert!(said.starts_with("refused") || said.starts_with("whole"), "{what}: {said}");
        }
    }
}

/// Engines promise less: what they hold is sealed above them, row by row. They must not fall over.
#[test]
fn flipped_bits_in_an_engine_never_end_the_process() {
    for store in [Store::Sled, Store::Redb] {
        after_flips(store, 6);
    }
}
