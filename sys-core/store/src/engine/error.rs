//! What can go wrong in an engine.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    durability::{CarriesSyncFailure, SyncFailed},
    limits::{MAX_BATCH_BYTES, MAX_BATCH_OPS, MAX_KEY_BYTES, MAX_VALUE_BYTES, MAX_VIEWS},
};

/// Why an engine did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A key above the limit.
    #[error("a key of {len} bytes exceeds the limit of {MAX_KEY_BYTES}")]
    KeyTooLong {
        /// Its length.
        len: usize,
    },
    /// A value above the limit.
    #[error("a value of {len} bytes exceeds the limit of {MAX_VALUE_BYTES}")]
    ValueTooLarge {
        /// Its length.
        len: usize,
    },
    /// A batch above the limits.
    #[error(
        "a batch of {ops} changes and {bytes} bytes exceeds {MAX_BATCH_OPS} changes or {MAX_BATCH_BYTES} bytes"
    )]
    BatchTooLarge {
        /// Number of changes.
        ops: usize,
        /// Key and value bytes.
        bytes: usize,
    },
    /// Writes would eat into the reserve. Reads, barriers and deletions' space reclaim go on.
    #[error("the disk of {} is full: {available} bytes are free, {reserve} are kept in reserve", path.display())]
    DiskFull {
        /// The engine's folder.
        path: PathBuf,
        /// Free bytes.
        available: u64,
        /// Bytes that must stay free.
        reserve: u64,
    },
    /// Fatal: see [`crate::abort_on_failed_sync`].
    #[error("the engine could not be made durable")]
    Sync(#[from] SyncFailed),
    /// The files are damaged: rebuild from snapshot and log, or from peers, in a new folder.
    #[error(
        "the store in {} is damaged: {}; restore the data folder from a backup, or replace the replicas that it holds",
        path.display(), detail.trim_end()
    )]
    Damaged {
        /// The engine's folder.
        path: PathBuf,
        /// What the engine said.
        detail: String,
    },
    /// Another process, or an instance that is still closing, holds the store.
    #[error("the store in {} is in use by another process", path.display())]
    InUse {
        /// The engine's folder.
        path: PathBuf,
    },
    /// More changed under an open view than it may remember.
    #[error("more than {limit} bytes changed while the view was open")]
    ViewOverflow {
        /// The view's limit.
        limit: usize,
    },
    /// Too many views at a time.
    #[error("{MAX_VIEWS} views are open already")]
    TooManyViews,
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl EngineError {
    /// For `map_err` of I/O calls.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

impl CarriesSyncFailure for EngineError {
    fn sync_failure(&self) -> Option<&SyncFailed> {
        match self {
            Self::Sync(failed) => Some(failed),
            _ => None,
        }
    }
}
