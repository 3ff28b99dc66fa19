//! What is remembered of command ids, where, and for how long.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use holdfast_domain::{CommandId, UnixMs};
use holdfast_store::{KeyRange, ScanLimit, records::PartitionToken};

use super::support::*;
use crate::{
    limits::{DEDUP_BUCKET, DEDUP_BUCKETS, DEDUP_RECENT, DEDUP_TTL_MS},
    machine::{
        Batch, Command, Outcome, Table,
        layout::{self, DedupKey},
        rows::{BucketRow, Buckets, RecentRow, Row as _, id_of},
    },
};

fn id(number: u32) -> CommandId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    CommandId::new(bytes)
}

/// Applies commands of these ids, many at a time, and expects one outcome.
fn apply(replica: &mut Replica, ids: &[CommandId], at: u64, expected: Outcome) {
    for ids in ids.chunks(500) {
        let with = |id: &CommandId| Batch { id: *id, at: UnixMs(at), ..batch(0, vec![], vec![]) };
        let commands: Vec<_> = ids.iter().map(|id| Command::Batch(with(id))).collect();
        assert!(replica.apply_all(&commands).iter().all(|outcome| *outcome == expected));
    }
}

fn seen(replica: &Replica, id: CommandId) -> bool {
    replica.state.read().seen(slot(), PartitionToken(PARTITION), id).unwrap()
}

/// Rows of command ids, after a look at what must always hold of them.
fn rows_of_ids(replica: &Replica) -> usize {
    let page = replica.state.read().scan(Table::Dedup, &KeyRange::all(), ScanLimit::MAX).unwrap();
    let rows: BTreeMap<_, _> = page.rows.into_iter().map(|row| (row.key, row.value)).collect();
    let token = PartitionToken(PARTITION);
    let recent = RecentRow::decode(&rows[layout::recent(slot(), token).as_slice()]).unwrap();
    let mut remembered = 0;
    for number in 0..recent.buckets.count() {
        let key = layout::bucket(slot(), token, number);
        let ids = rows.get(key.as_slice()).map(|row| BucketRow::decode(row).unwrap()).unwrap_or_default().ids;
        assert!(ids.entries().iter().all(|entry| recent.buckets.of(id_of(entry)) == Some(number)));
        remembered += ids.entries().len();
    }
    assert_eq!(u32::try_from(remembered).unwrap(), recent.remembered);
    assert!(!recent.is_crowded() || recent.buckets.count() == DEDUP_BUCKETS);
    let buckets = rows.keys().filter(|key| layout::dedup_of(key) == Some(DedupKey::Bucket)).count();
    assert!(buckets <= usize::from(recent.buckets.count()) && rows.len() == buckets + 1);
    rows.len()
}

#[test]
fn ten_thousand_commands_of_a_home_are_all_remembered_in_few_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let ids: Vec<_> = (0..10_000).map(id).collect();
    let (first, rest) = ids.split_at(500);
    let (recent, rest_of_first) = first.split_at(DEDUP_RECENT);
    apply(&mut replica, recent, 1, Outcome::Applied);
    assert_eq!(rows_of_ids(&replica), 1);
    apply(&mut replica, rest_of_first, 1, Outcome::Applied);
    assert_eq!(rows_of_ids(&replica), 11);
    // After every spread.
    for ids in rest.chunks(DEDUP_RECENT) {
        apply(&mut replica, ids, 1, Outcome::Applied);
        rows_of_ids(&replica);
    }
    assert_eq!(rows_of_ids(&replica), 209);
    apply(&mut replica, &ids, DEDUP_TTL_MS - 1, Outcome::Duplicate);
    assert!(ids.iter().all(|id| seen(&replica, *id)));
    assert!((10_000..12_000).all(|number| !seen(&replica, id(number))));
    let reader = replica.state.read();
    assert!(ids.iter().all(|id| !reader.seen(slot(), PartitionToken([8; 16]), *id).unwrap()));
}

#[test]
fn an_applied_id_is_seen_at_any_moment_while_rows_are_spread_and_split() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let (state, applied) = (Arc::clone(&replica.state), AtomicU32::new(1));
    apply(&mut replica, &[id(0)], 1, Outcome::Applied);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 1..6_000 {
                apply(&mut replica, &[id(number)], 1, Outcome::Applied);
                applied.store(number + 1, Ordering::Release);
            }
        });
        let mut looks = 0u32;
        while !writer.is_finished() {
            let of = looks.wrapping_mul(0x9e37_79b1) % applied.load(Ordering::Acquire);
            assert!(state.read().seen(slot(), PartitionToken(PARTITION), id(of)).unwrap(), "{of}");
            looks += 1;
        }
    });
}

#[test]
fn ids_are_forgotten_by_age_when_their_row_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    let ids: Vec<_> = (0..4_000).map(id).collect();
    let (old, rest) = ids.split_at(1_000);
    let (early, new) = rest.split_at(1_000);
    apply(&mut replica, old, 10, Outcome::Applied);
    // Of a leader whose clock was behind.
    apply(&mut replica, &early[..500], 5, Outcome::Applied);
    apply(&mut replica, &early[500..], DEDUP_TTL_MS + 4, Outcome::Applied);
    assert!(old.iter().chain(early).all(|id| seen(&replica, *id)));
    apply(&mut replica, new, DEDUP_TTL_MS + 10, Outcome::Applied);
    assert!(old.iter().chain(&early[..500]).all(|id| !seen(&replica, *id)));
    assert!(early[500..].iter().chain(new).all(|id| seen(&replica, *id)));
    rows_of_ids(&replica);
    apply(&mut replica, &old[..1], DEDUP_TTL_MS + 10, Outcome::Applied);
}

#[test]
fn a_home_with_few_commands_a_day_has_one_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    for day in 0..20 {
        let ids: Vec<_> = (day * 60..day * 60 + 60).map(id).collect();
        apply(&mut replica, &ids, 1 + u64::from(day) * DEDUP_TTL_MS, Outcome::Applied);
        assert!(ids.iter().all(|id| seen(&replica, *id)));
    }
    assert_eq!(rows_of_ids(&replica), 1);
}

#[test]
fn a_bucket_that_is_too_full_forgets_its_oldest_ids() {
    let dir = tempfile::tempdir().unwrap();
    let mut replica = Replica::ready(&engine(dir.path()));
    // However many buckets there are, all these are in one.
    let most = Buckets::try_from(DEDUP_BUCKETS).unwrap();
    let ids: Vec<_> = (0..).map(id).filter(|id| most.of(*id) == Some(0)).take(6 * DEDUP_RECENT).collect();
    apply(&mut replica, &ids, 1, Outcome::Applied);
    let (gone, kept) = ids.split_at(ids.len() - DEDUP_RECENT - DEDUP_BUCKET);
    assert!(gone.iter().all(|id| !seen(&replica, *id)));
    assert!(kept.iter().all(|id| seen(&replica, *id)));
    rows_of_ids(&replica);
    apply(&mut replica, kept, 1, Outcome::Duplicate);
    apply(&mut replica, &gone[..1], 1, Outcome::Applied);
}
