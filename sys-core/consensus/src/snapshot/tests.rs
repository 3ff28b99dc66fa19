use std::io::Read as _;

use holdfast_keys::{LocalKey, derive};

use super::*;
use crate::codec;
use crate::types::{LeaderId, LogId};
use openraft::vote::RaftLeaderId as _;

fn store(dir: &Path, key: u8, replica: u64) -> io::Result<Arc<SnapshotStore>> {
    let cipher = Cipher::new(&derive::snapshot_key(&LocalKey::from_bytes([key; 32])));
    SnapshotStore::open(dir, cipher, 1, replica, u64::MAX)
}

fn meta(index: u64) -> SnapshotMeta {
    SnapshotMeta {
        last_log_id: Some(LogId { leader_id: LeaderId::new(1, 1), index }),
        ..SnapshotMeta::default()
    }
}

fn write(store: &Arc<SnapshotStore>, index: u64, content: &[u8]) -> SnapshotFile {
    let mut new = store.create(meta(index), false).unwrap();
    new.writer().write_all(content).unwrap();
    let (meta, file) = new.finish().unwrap();
    store.adopt(&meta, &file).unwrap();
    file
}

fn read(file: &SnapshotFile) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.reader()?.read_to_end(&mut content)?;
    Ok(content)
}

#[test]
fn what_was_written_is_read_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    write(&store(dir.path(), 1, 1).unwrap(), 5, &content);
    let (found, file) = store(dir.path(), 1, 1).unwrap().current().unwrap();
    assert_eq!(found.last_log_id.map(|id| id.index), Some(5));
    assert_eq!(read(&file).unwrap(), content);
}

#[test]
fn an_older_snapshot_does_not_replace_a_newer_one_and_temporary_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1, 1).unwrap();
    write(&store, 5, b"new");
    let old = write(&store, 4, b"old");
    assert_eq!(read(&old).unwrap(), b"old", "it can still be read");
    assert_eq!(read(&store.current().unwrap().1).unwrap(), b"new");
    drop(old);
    drop(store.create(meta(6), false).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn other_keys_and_other_replicas_cannot_read_it() {
    let dir = tempfile::tempdir().unwrap();
    write(&store(dir.path(), 1, 1).unwrap(), 5, b"content");
    assert!(store(dir.path(), 2, 1).is_err());
    assert!(store(dir.path(), 1, 2).is_err());
}

#[test]
fn invariant_a_flipped_byte_or_a_cut_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    write(&store(dir.path(), 1, 1).unwrap(), 5, &vec![9; 300_000]);
    let path = dir.path().join(CURRENT);
    let good = fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        store(dir.path(), 1, 1).and_then(|store| read(&store.current().unwrap().1))
    };
    for at in (0..good.len()).step_by(good.len() / 60) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(check(&bad).is_err(), "byte {at} flipped");
        assert!(check(&good[..at]).is_err(), "cut at {at}");
    }
    // The last chunk dropped: the one before it is whole, but it is not the last.
    let cut = good.len() - (300_000 - limits::SNAPSHOT_CHUNK_BYTES) - 44;
    assert!(check(&good[..cut]).is_err());
    assert_eq!(check(&good).unwrap(), vec![9; 300_000]);
}

#[test]
fn the_description_survives_its_encoding() {
    let meta = meta(9);
    let bytes = codec::encode_meta(meta.last_log_id, &meta.last_membership).unwrap();
    assert_eq!(codec::decode_meta(&bytes).unwrap(), meta);
}
