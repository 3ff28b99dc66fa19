//! What can go wrong with segments.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::ChunkId;
use crate::{
    durability::{CarriesSyncFailure, SyncFailed},
    limits::MAX_CHUNK_BYTES,
};

/// Why a segment store did not do as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// Empty, or above the limit.
    #[error("a chunk of {len} bytes: it must have 1 to {MAX_CHUNK_BYTES}")]
    ChunkLength {
        /// Its length.
        len: usize,
    },
    /// Another chunk has this name.
    #[error("chunk {0} exists with other content")]
    IdTaken(ChunkId),
    /// No room for another segment. Reads, deletions and compaction go on.
    #[error("the disk of {} is full", path.display())]
    DiskFull {
        /// The segments' folder.
        path: PathBuf,
    },
    /// Bytes on disk are not those that were written.
    #[error("{} is damaged at byte {offset}", path.display())]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Start of the damaged entry.
        offset: u64,
    },
    /// Fatal: see [`crate::abort_on_failed_sync`].
    #[error("segments could not be made durable")]
    Sync(#[from] SyncFailed),
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

impl SegmentError {
    /// For `map_err` of I/O calls; a full disk or quota becomes its own variant.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_path_buf() }
            }
            _ => Self::Io { action, path: path.to_path_buf(), source },
        }
    }
}

impl CarriesSyncFailure for SegmentError {
    fn sync_failure(&self) -> Option<&SyncFailed> {
        match self {
            Self::Sync(failed) => Some(failed),
            _ => None,
        }
    }
}
