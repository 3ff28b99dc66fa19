//! What a group keeps in the log beside its entries, and reading all of it back.

use std::io;

use super::committer::Change;
use super::engine::LogEngine;
use super::seal::Place;
use super::tail::Tail;
use crate::codec::{self, LogIdRecord, VoteRecord};
use crate::types::{Entry, LogId};
use crate::{Floor, limits};

pub(super) const OWNER: &[u8] = b"owner";
pub(super) const VOTE: &[u8] = b"vote";
pub(super) const COMMITTED: &[u8] = b"committed";
/// What members acknowledged.
pub(super) const FLOORS: &[u8] = b"floors";
pub(super) const PURGED: &[u8] = b"purged";
/// The index after the last entry that counts; entries from there on were truncated.
pub(super) const END: &[u8] = b"end";
/// Bound of a stored value.
pub(super) const MAX_VALUE_BYTES: usize = 2048;

/// A group's part of the log cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GroupLogError {
    /// It belongs to another replica of the same group.
    #[error("the log belongs to replica {stored}")]
    OtherReplica { stored: u64 },
    /// Synced entries or values are damaged or missing.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// The log was closed, or the disk failed.
    #[error("the log cannot be used")]
    Io(#[from] io::Error),
}

pub(super) fn owner(engine: &LogEngine, region: u64) -> Result<Option<u64>, GroupLogError> {
    let Some(value) = engine.value(region, OWNER) else { return Ok(None) };
    let (replica, sealed) =
        value.split_first_chunk().ok_or_else(|| GroupLogError::Damaged("its owner is cut short".into()))?;
    let replica = u64::from_be_bytes(*replica);
    Place { region, replica }
        .open_value(&engine.cipher, OWNER, sealed)
        .map_err(|_| GroupLogError::Damaged("its owner does not open".into()))?;
    Ok(Some(replica))
}

pub(super) async fn claim(engine: &LogEngine, place: Place) -> Result<(), GroupLogError> {
    let sealed = place.seal_value(&engine.cipher, OWNER, b"").map_err(io::Error::other)?;
    let owner = [place.replica.to_be_bytes().as_slice(), &sealed].concat();
    Ok(engine.write_durably(place.region, vec![Change::Put(OWNER, owner)]).await?)
}

pub(super) fn seal<T: serde::Serialize>(
    engine: &LogEngine,
    place: Place,
    key: &'static [u8],
    value: &T,
) -> io::Result<Vec<u8>> {
    let plain = codec::encode(value).map_err(io::Error::other)?;
    place.seal_value(&engine.cipher, key, &plain).map_err(io::Error::other)
}

pub(super) fn open_value<T: serde::de::DeserializeOwned>(
    engine: &LogEngine,
    place: Place,
    key: &'static [u8],
) -> Result<Option<T>, GroupLogError> {
    let Some(sealed) = engine.value(place.region, key) else { return Ok(None) };
    let damaged = |detail: &dyn std::fmt::Display| {
        GroupLogError::Damaged(format!("value {}: {detail}", String::from_utf8_lossy(key)))
    };
    let plain = place.open_value(&engine.cipher, key, &sealed).map_err(|error| damaged(&error))?;
    codec::decode(&plain, MAX_VALUE_BYTES).map(Some).map_err(|error| damaged(&error))
}

/// Reads a replica's state and checks every entry that it has.
pub(super) fn load(engine: &LogEngine, place: Place) -> Result<Tail, GroupLogError> {
    let vote: Option<VoteRecord> = open_value(engine, place, VOTE)?;
    let committed: Option<LogIdRecord> = open_value(engine, place, COMMITTED)?;
    let purged: Option<LogIdRecord> = open_value(engine, place, PURGED)?;
    let end: Option<u64> = open_value(engine, place, END)?;
    let floors: Option<Vec<(u64, Floor)>> = open_value(engine, place, FLOORS)?;
    let mut tail = Tail::default();
    tail.floors = floors.unwrap_or_default();
    tail.vote = vote.map(Into::into);
    tail.purged = purged.map(Into::into);
    tail.in_files = engine.span(place.region);
    tail.marked = end.is_some();
    tail.last = tail.purged;
    if let Some((first, last)) = tail.in_files {
        let end = end.unwrap_or(u64::MAX).min(last.saturating_add(1));
        if tail.purged.is_some() && first > tail.after_purged() && end > first {
            let missing = format!("entries {} to {first} are missing", tail.after_purged());
            return Err(GroupLogError::Damaged(missing));
        }
        let mut next = first.max(tail.first());
        while next < end {
            let (entries, _) = read_files(engine, place, next, end, limits::COMMIT_BYTES)
                .map_err(|error| GroupLogError::Damaged(error.to_string()))?;
            let found =
                entries.last().ok_or_else(|| GroupLogError::Damaged(format!("entry {next} is missing")))?;
            tail.last = Some(found.log_id);
            next = found.log_id.index.saturating_add(1);
        }
    }
    // Whatever is in the files is synced by now.
    if let Some(last) = tail.last {
        tail.synced(last.index);
    }
    let voted = tail.vote.map_or(0, |vote| vote.leader_id.term);
    if tail.last.is_some_and(|last| last.leader_id.term > voted) {
        return Err(GroupLogError::Damaged("its vote is older than its entries".into()));
    }
    // A batch may carry the committed index of entries that a crash kept out of the files: what is there is committed.
    tail.committed = committed.map(LogId::from).map(|id| tail.last.map_or(id, |last| id.min(last)));
    Ok(tail)
}

/// Opens entries from `from` to before `to` and checks that they follow each other.
pub(super) fn read_files(
    engine: &LogEngine,
    place: Place,
    from: u64,
    to: u64,
    max_bytes: usize,
) -> io::Result<(Vec<Entry>, usize)> {
    let damaged = |index: u64, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("log entry {index} cannot be read: {error}"))
    };
    let sealed = engine.read(place.region, from, to, max_bytes).map_err(|error| damaged(from, &error))?;
    let mut bytes = 0_usize;
    let mut entries = Vec::with_capacity(sealed.len());
    for (expected, (index, sealed)) in (from..).zip(sealed) {
        bytes = bytes.saturating_add(sealed.len());
        let plain =
            place.open_entry(&engine.cipher, index, &sealed).map_err(|error| damaged(index, &error))?;
        let entry = codec::decode_entry(plain).map_err(|error| damaged(index, &error))?;
        if index != expected || entry.log_id.index != expected {
            return Err(damaged(expected, &"another entry is in its place"));
        }
        entries.push(entry);
    }
    Ok((entries, bytes))
}
