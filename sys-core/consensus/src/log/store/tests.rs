use std::path::Path;

use holdfast_keys::LocalKey;
use openraft::storage::RaftLogStorageExt as _;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::vote::RaftLeaderId as _;

use super::*;
use crate::adapter::Adapter;
use crate::log::LogOpenError;
use crate::snapshot::SnapshotStore;
use crate::testing::MapMachine;
use crate::types::{Commands, LeaderId, Payload};

const GROUP: u32 = 7;
const REPLICA: u64 = 3;

fn key(byte: u8) -> LocalKey {
    LocalKey::from_bytes([byte; 32])
}

fn entry(term: u64, index: u64, content: &[u8]) -> Entry {
    let command = bytes::Bytes::copy_from_slice(content);
    Entry {
        log_id: LogId { leader_id: LeaderId::new(term, REPLICA), index },
        payload: Payload::Normal(Commands([command].into())),
    }
}

async fn open(dir: &Path) -> (Arc<LogEngine>, GroupLog) {
    let engine = LogEngine::open(dir, &key(1)).unwrap();
    let mut log = GroupLog::open(engine.clone(), GROUP, REPLICA).await.unwrap();
    if log.read_vote().await.unwrap().is_none() {
        log.save_vote(&Vote { leader_id: LeaderId::new(9, REPLICA), committed: true }).await.unwrap();
    }
    (engine, log)
}

async fn contents(log: &GroupLog) -> Vec<(u64, u64)> {
    let entries = log.read(0, u64::MAX, usize::MAX).await.unwrap();
    entries.iter().map(|entry| (entry.log_id.leader_id.term, entry.log_id.index)).collect()
}

struct Builder;

impl StoreBuilder<Types, GroupLog, Adapter, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, GroupLog, Adapter), openraft::StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let engine = LogEngine::open(&dir.path().join("log"), &key(1)).unwrap();
        let log = GroupLog::open(engine, GROUP, REPLICA).await.unwrap();
        let cipher = holdfast_keys::aead::Cipher::new(&holdfast_keys::derive::snapshot_key(&key(1)));
        let snapshots =
            SnapshotStore::open(&dir.path().join("snapshots"), cipher, GROUP, REPLICA, u64::MAX).unwrap();
        let machine: Box<dyn crate::StateMachine> = Box::new(MapMachine::default());
        let progress = tokio::sync::watch::channel(None).0;
        let adapter =
            Adapter::new(Arc::new(Mutex::new(machine)), snapshots, progress, Arc::default()).unwrap();
        Ok((dir, log, adapter))
    }
}

#[tokio::test]
async fn the_librarys_own_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut log) = open(dir.path()).await;
    log.blocking_append((0..100).map(|index| entry(1, index, b"x"))).await.unwrap();
    log.save_committed(Some(entry(1, 90, b"").log_id)).await.unwrap();
    log.purge(entry(1, 9, b"").log_id).await.unwrap();
    engine.close();
    drop((engine, log));

    let (_engine, mut log) = open(dir.path()).await;
    assert_eq!(contents(&log).await, (10..100).map(|index| (1, index)).collect::<Vec<_>>());
    assert_eq!(log.read_committed().await.unwrap().map(|id| id.index), Some(90));
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id.map(|id| id.index), Some(9));
    assert_eq!(state.last_log_id.map(|id| id.index), Some(99));
    assert_eq!(log.read_vote().await.unwrap().map(|vote| vote.leader_id.term), Some(9));
}

#[tokio::test]
async fn truncated_entries_do_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut log) = open(dir.path()).await;
    log.blocking_append((0..10).map(|index| entry(1, index, b"old"))).await.unwrap();
    log.truncate_after(Some(entry(1, 4, b"").log_id)).await.unwrap();
    engine.close();
    drop((engine, log));

    let (engine, mut log) = open(dir.path()).await;
    assert_eq!(contents(&log).await.last(), Some(&(1, 4)));
    log.blocking_append((5..7).map(|index| entry(2, index, b"new"))).await.unwrap();
    engine.close();
    drop((engine, log));

    let (_engine, log) = open(dir.path()).await;
    assert_eq!(contents(&log).await.split_off(4), [(1, 4), (2, 5), (2, 6)]);
}

#[tokio::test]
async fn a_purge_past_the_end_leaves_no_truncated_entry_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut log) = open(dir.path()).await;
    log.blocking_append((0..30).map(|index| entry(1, index, b"old"))).await.unwrap();
    log.truncate_after(Some(entry(1, 4, b"").log_id)).await.unwrap();
    // A snapshot up to 20 came from a leader: the entries up to it go, and those that were cut stay cut.
    log.purge(entry(3, 20, b"").log_id).await.unwrap();
    engine.close();
    drop((engine, log));

    let (engine, mut log) = open(dir.path()).await;
    assert_eq!(contents(&log).await, []);
    assert_eq!(log.get_log_state().await.unwrap().last_log_id.map(|id| id.index), Some(20));
    log.blocking_append([entry(4, 21, b"new")]).await.unwrap();
    engine.close();
    drop((engine, log));

    let (_engine, log) = open(dir.path()).await;
    assert_eq!(contents(&log).await, [(4, 21)]);
}

#[tokio::test]
async fn a_hole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, mut log) = open(dir.path()).await;
    log.blocking_append([entry(1, 0, b"")]).await.unwrap();
    assert!(log.append([entry(1, 2, b"")], IoFlushed::noop()).await.is_err());
    assert!(log.append([entry(1, 1, b""), entry(1, 3, b"")], IoFlushed::noop()).await.is_err());
    assert_eq!(contents(&log).await, [(1, 0)]);
}

#[tokio::test]
async fn entries_that_left_memory_are_read_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let (_engine, mut log) = open(dir.path()).await;
    let content = vec![7; 256 << 10];
    for index in 0..40 {
        log.blocking_append([entry(1, index, &content)]).await.unwrap();
    }
    assert!(log.tail().window_first() > 10, "the window is bounded");
    assert_eq!(contents(&log).await, (0..40).map(|index| (1, index)).collect::<Vec<_>>());
    let limited = log.limited_get_log_entries(0, 40).await.unwrap();
    assert!((1..=5).contains(&limited.len()), "one message is bounded, {} came", limited.len());
    let streamed: Vec<_> = futures::StreamExt::collect(log.entries_stream(3..40).await).await;
    assert_eq!(streamed.len(), 37);
}

#[tokio::test]
async fn another_local_key_does_not_open_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut log) = open(dir.path()).await;
    log.blocking_append([entry(1, 0, b"plain text to look for")]).await.unwrap();
    engine.close();
    drop((engine, log));
    assert!(matches!(LogEngine::open(dir.path(), &key(2)), Err(LogOpenError::WrongKey { .. })));
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(10).any(|window| window == b"plain text"), "the log is sealed");
    }
}

#[tokio::test]
async fn a_log_is_of_one_replica() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, log) = open(dir.path()).await;
    assert_eq!(GroupLog::stored(&engine), [(GROUP, REPLICA)]);
    drop(log);
    let other = GroupLog::open(engine.clone(), GROUP, REPLICA + 1).await;
    assert!(matches!(other, Err(GroupLogError::OtherReplica { stored: REPLICA })));
    GroupLog::destroy(&engine, GROUP).await.unwrap();
    assert_eq!(GroupLog::stored(&engine), []);
    GroupLog::open(engine, GROUP, REPLICA + 1).await.unwrap();
}

/// Flips bytes all over the newest file: whatever is damaged, no synced entry may be missing unseen.
#[tokio::test]
async fn invariant_a_flipped_byte_never_loses_an_entry_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, mut log) = open(dir.path()).await;
    for index in 0..20 {
        log.blocking_append([entry(1, index, b"some content of an entry")]).await.unwrap();
    }
    engine.close();
    drop((engine, log));
    let path = dir.path().join("0000000000000001.raftlog");
    let good = std::fs::read(&path).unwrap();
    let (mut refused, mut torn) = (0, 0);
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let opened = match LogEngine::open(dir.path(), &key(1)) {
            Ok(engine) => {
                GroupLog::open(engine.clone(), GROUP, REPLICA).await.map(|log| (engine, log)).map_err(drop)
            }
            Err(LogOpenError::Damaged { .. } | LogOpenError::WrongKey { .. }) => Err(()),
            Err(error) => panic!("byte {at}: {error}"),
        };
        match opened {
            Err(()) => refused += 1,
            Ok((engine, log)) => {
                // Only what a crash may tear, the last batch, may be gone.
                let entries = contents(&log).await;
                assert!(entries.len() >= 19, "byte {at}: {} entries", entries.len());
                torn += usize::from(entries.len() < 20);
                engine.close();
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert!(refused > 50, "{refused} refused, {torn} taken for torn");
}
