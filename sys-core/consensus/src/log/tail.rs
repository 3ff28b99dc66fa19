//! What a group's log knows in memory: its state and its newest entries.
//!
//! Entries are readable here from the moment they are appended, and stay at least until they are synced; whatever has
//! left this window is in the engine's files.

use std::collections::VecDeque;

use crate::types::{Entry, LogId, Vote};
use crate::{Floor, limits};

/// See the module.
#[derive(Default)]
pub(super) struct Tail {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// What members acknowledged, as the log was opened.
    pub(super) floors: Vec<(u64, Floor)>,
    pub(super) purged: Option<LogId>,
    /// Last entry, or what was purged when there is none.
    pub(super) last: Option<LogId>,
    /// What the engine's files hold once everything sent to them is written; stale entries past `last` included.
    pub(super) in_files: Option<(u64, u64)>,
    /// A durable marker says that entries after `last` do not count.
    pub(super) marked: bool,
    /// Entries up to here are synced and may leave the window.
    pub(super) synced: Option<u64>,
    window: VecDeque<(Entry, usize)>,
    window_bytes: usize,
}

impl Tail {
    /// Index of the first entry that there can be.
    pub(super) fn first(&self) -> u64 {
        let in_files = self.in_files.map_or(0, |(first, _)| first);
        self.after_purged().max(in_files)
    }

    /// Index of the first entry that is not purged.
    pub(super) fn after_purged(&self) -> u64 {
        self.purged.map_or(0, |id| id.index.saturating_add(1))
    }

    /// Index after the last entry.
    pub(super) fn end(&self) -> u64 {
        self.last.map_or(0, |id| id.index.saturating_add(1))
    }

    /// Where the window begins: entries below are in the files only.
    pub(super) fn window_first(&self) -> u64 {
        self.window.front().map_or_else(|| self.end(), |(entry, _)| entry.log_id.index)
    }

    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        self.last = Some(entry.log_id);
        self.window.push_back((entry, bytes));
        self.window_bytes = self.window_bytes.saturating_add(bytes);
    }

    /// Entries of the window from `from` to before `to`.
    pub(super) fn read(&self, from: u64, to: u64) -> impl Iterator<Item = &(Entry, usize)> {
        // Entries follow each other, so places are differences of indexes.
        let first = self.window_first();
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let take = usize::try_from(to.saturating_sub(from.max(first))).unwrap_or(usize::MAX);
        self.window.iter().skip(skip).take(take)
    }

    /// The log id at an index inside the window.
    pub(super) fn id_at(&self, index: u64) -> Option<LogId> {
        self.read(index, index.saturating_add(1)).next().map(|(entry, _)| entry.log_id)
    }

    /// Everything up to `index` is synced: the window shrinks to its limit.
    pub(super) fn synced(&mut self, index: u64) {
        self.synced = self.synced.max(Some(index));
        while self.window_bytes > limits::TAIL_BYTES
            && let Some((entry, bytes)) = self.window.front()
            && Some(entry.log_id.index) <= self.synced
        {
            self.window_bytes = self.window_bytes.saturating_sub(*bytes);
            self.window.pop_front();
        }
    }

    /// Drops entries after `last`.
    pub(super) fn truncate(&mut self, last: Option<LogId>) {
        let end = last.map_or(0, |id| id.index.saturating_add(1));
        while let Some((entry, bytes)) = self.window.back()
            && entry.log_id.index >= end
        {
            self.window_bytes = self.window_bytes.saturating_sub(*bytes);
            self.window.pop_back();
        }
        self.synced = self.synced.min(end.checked_sub(1));
        self.last = last;
    }

    /// Drops entries up to `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        while let Some((entry, bytes)) = self.window.front()
            && entry.log_id.index <= upto.index
        {
            self.window_bytes = self.window_bytes.saturating_sub(*bytes);
            self.window.pop_front();
        }
        self.synced = self.synced.max(Some(upto.index));
        self.purged = Some(upto);
        if self.last.is_none_or(|last| last.index < upto.index) {
            self.last = Some(upto);
        }
    }
}
