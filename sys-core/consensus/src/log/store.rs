//! One group's log, as the consensus library uses it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use openraft::storage::RaftLogStorage;
use openraft::{LogState, OptionalSend, RaftLogReader};

use super::committer::Change;
use super::engine::{self, LogEngine};
use super::load::{self, COMMITTED, END, GroupLogError, PURGED, VOTE, load, owner, read_files};
use super::seal::Place;
use super::tail::Tail;
use super::witness::Witness;
use crate::codec::{self, LogIdRecord, VoteRecord};
use crate::limits;
use crate::types::{Entry, IoFlushed, LogId, Types, Vote};

/// A handle; all handles of a group share one state.
#[derive(Clone)]
pub(crate) struct GroupLog {
    engine: Arc<LogEngine>,
    place: Place,
    tail: Arc<Mutex<Tail>>,
}

/// A group's region. Region 0 is the log's own.
fn region(group: u32) -> u64 {
    u64::from(group).saturating_add(1)
}

impl GroupLog {
    /// Groups with anything in the log, and whose replica it is.
    pub(crate) fn stored(engine: &LogEngine) -> Vec<(u32, u64)> {
        engine
            .regions()
            .into_iter()
            .filter_map(|region| {
                let group = u32::try_from(region.checked_sub(1)?).ok()?;
                Some((group, owner(engine, region).ok().flatten()?))
            })
            .collect()
    }

    /// Opens a replica's log and reads all of it once, so that damage shows before the replica votes.
    pub(crate) async fn open(
        engine: Arc<LogEngine>,
        group: u32,
        replica: u64,
    ) -> Result<Self, GroupLogError> {
        let place = Place { region: region(group), replica };
        match owner(&engine, place.region)? {
            Some(stored) if stored == replica => {}
            Some(stored) => return Err(GroupLogError::OtherReplica { stored }),
            None if engine.span(place.region).is_some() || engine.value(place.region, VOTE).is_some() => {
                return Err(GroupLogError::Damaged("it has entries or votes and no owner".into()));
            }
            None => load::claim(&engine, place).await?,
        }
        let tail = engine
            .on_reader({
                let engine = engine.clone();
                move || load(&engine, place)
            })
            .await??;
        Ok(Self { engine, place, tail: Arc::new(Mutex::new(tail)) })
    }

    /// Destroys a group's log, whoever owns it.
    pub(crate) async fn destroy(engine: &LogEngine, group: u32) -> io::Result<()> {
        engine.forget_lazy(region(group));
        engine.write_durably(region(group), vec![Change::Clean]).await
    }

    /// What others may see and write of it.
    pub(crate) fn witness(&self) -> Witness {
        Witness { engine: Arc::downgrade(&self.engine), place: self.place, tail: self.tail.clone() }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal<T: serde::Serialize>(&self, key: &'static [u8], value: &T) -> io::Result<Vec<u8>> {
        load::seal(&self.engine, self.place, key, value)
    }

    /// Entries from `from` to before `to`, as many as fit but at least one if there is one.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        loop {
            let in_files = {
                let tail = self.tail();
                let (from, to, window_first) =
                    (from.max(tail.first()), to.min(tail.end()), tail.window_first());
                if from >= to {
                    return Ok(Vec::new());
                }
                if from >= window_first {
                    return Ok(fitting(tail.read(from, to), max_bytes));
                }
                (from, to.min(window_first))
            };
            // Synced long ago, so the files have it. A piece is enough: the caller asks again for the rest, unless it
            // wants everything.
            let (engine, place) = (self.engine.clone(), self.place);
            let read = move || read_files(&engine, place, in_files.0, in_files.1, max_bytes);
            let read = self.engine.on_reader(read).await?;
            let (mut found, _) = match read {
                // Purged meanwhile: what is left is read again.
                Err(_) if self.tail().first() > in_files.0 => continue,
                read => read?,
            };
            if max_bytes == usize::MAX
                && let Some(last) = found.last()
            {
                let next = last.log_id.index.saturating_add(1);
                found.extend(Box::pin(self.read(next, to, max_bytes)).await?);
            }
            return Ok(found);
        }
    }

    /// The log id of an entry, or of the purge point.
    async fn id_at(&self, index: u64) -> io::Result<Option<LogId>> {
        {
            let tail = self.tail();
            for known in [tail.purged, tail.last].into_iter().flatten() {
                if known.index == index {
                    return Ok(Some(known));
                }
            }
            if let Some(id) = tail.id_at(index) {
                return Ok(Some(id));
            }
        }
        Ok(self.read(index, index.saturating_add(1), 1).await?.first().map(|entry| entry.log_id))
    }
}

/// The entries that fit, but at least one.
fn fitting<'a>(entries: impl Iterator<Item = &'a (Entry, usize)>, max_bytes: usize) -> Vec<Entry> {
    let mut bytes = 0_usize;
    entries
        .take_while(|(_, size)| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(*size);
            first || bytes <= max_bytes
        })
        .map(|(entry, _)| entry.clone())
        .collect()
}

/// `[from, to)` of any range.
fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<Types> for GroupLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (from, to) = bounds(&range);
        self.read(from, to, usize::MAX).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.tail().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end, limits::MAX_APPEND_BYTES).await
    }

    /// Committed entries on their way to the machine: a long catch-up is read piece by piece.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let pieces = futures::stream::try_unfold((self.clone(), from), move |(log, next)| async move {
            if next >= to {
                return Ok::<_, io::Error>(None);
            }
            let entries = log.read(next, to, limits::MAX_APPEND_BYTES).await?;
            let Some(last) = entries.last() else { return Ok(None) };
            let next = last.log_id.index.saturating_add(1);
            Ok(Some((futures::stream::iter(entries.into_iter().map(Ok)), (log, next))))
        });
        Box::pin(futures::TryStreamExt::try_flatten(pieces))
    }
}

impl RaftLogStorage<Types> for GroupLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let sealed = self.seal(VOTE, &VoteRecord::from(*vote))?;
        self.engine.write_durably(self.place.region, vec![Change::Put(VOTE, sealed)]).await?;
        self.tail().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        // No sync of its own: an older value only means that more is applied again once a leader is known.
        if let Some(committed) = committed {
            self.engine.put_lazily(
                self.place.region,
                COMMITTED,
                self.seal(COMMITTED, &LogIdRecord::from(committed))?,
            );
        }
        self.tail().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        let (first, last) = (first.log_id.index, last.log_id.index);
        let changes = self.append_changes(first, &entries)?;
        let log = self.clone();
        self.engine
            .write(self.place.region, changes, move || {
                log.tail().synced(last);
                callback.io_completed(Ok(()));
            })
            .await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        if self.tail().last <= last_log_id {
            return Ok(());
        }
        let end = last_log_id.map_or(0, |id| id.index.saturating_add(1));
        // The caller's id is trusted for its index only: the log knows what is there.
        let last = match end.checked_sub(1) {
            Some(index) => self.id_at(index).await?,
            None => None,
        };
        let marker = Change::Put(END, self.seal(END, &end)?);
        // After this, every earlier append is synced too, so that no late callback can pass the cut.
        self.engine.write_durably(self.place.region, vec![marker]).await?;
        let mut tail = self.tail();
        tail.marked = true;
        tail.truncate(last);
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        let next = log_id.index.saturating_add(1);
        let mut changes =
            vec![Change::Put(PURGED, self.seal(PURGED, &LogIdRecord::from(log_id))?), Change::Compact(next)];
        {
            let mut tail = self.tail();
            if tail.purged.is_some_and(|purged| purged.index >= log_id.index) {
                return Ok(());
            }
            tail.purge(log_id);
            tail.in_files =
                tail.in_files.and_then(|(first, last)| (last >= next).then_some((first.max(next), last)));
            if tail.marked {
                // Truncated entries may lie beyond what is purged: the marker must not point below it.
                tail.marked = tail.in_files.is_some();
                changes.push(match tail.in_files {
                    Some(_) => Change::Put(END, self.seal(END, &tail.end())?),
                    None => Change::Delete(END),
                });
            }
        }
        self.engine.write(self.place.region, changes, || {}).await
    }
}

impl GroupLog {
    /// Makes entries readable and returns what makes them durable.
    fn append_changes(&self, first: u64, entries: &[Entry]) -> io::Result<Vec<Change>> {
        let plain = entries
            .iter()
            .map(codec::encode_entry)
            .collect::<Result<Vec<_>, _>>()
            .map_err(io::Error::other)?;
        let by_index = entries.iter().map(|entry| entry.log_id.index).zip(plain.iter().map(Vec::as_slice));
        let sealed = self
            .place
            .seal_entries(&self.engine.cipher, by_index.collect::<Vec<_>>().into_iter())
            .map_err(io::Error::other)?;

        let mut tail = self.tail();
        let expected = (first..).zip(entries).all(|(index, entry)| entry.log_id.index == index);
        if !expected || (tail.last.is_some() && first != tail.end()) {
            // The engine would panic on a hole; a log with one would be worse.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "entries would leave a hole in the log"));
        }
        let mut changes = Vec::with_capacity(3);
        if tail.marked {
            changes.push(Change::Delete(END));
            tail.marked = false;
        }
        if let Some((from, to)) = tail.in_files
            && !(from..=to.saturating_add(1)).contains(&first)
        {
            changes.push(Change::Compact(to.saturating_add(1)));
            tail.in_files = None;
        }
        changes.push(Change::Append(
            sealed.iter().map(|(index, sealed)| engine::stored(*index, sealed)).collect(),
        ));
        for (entry, (index, sealed)) in entries.iter().zip(&sealed) {
            tail.push(entry.clone(), sealed.len());
            tail.in_files = Some((tail.in_files.map_or(*index, |(from, _)| from), *index));
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests;
