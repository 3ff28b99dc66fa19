//! What a failed sync means, in one place.
//!
//! After a failed `fsync` the kernel may have dropped the dirty pages and will report success the next time, so
//! neither a retry nor going on can be trusted: what was acknowledged and what is on disk are no longer known to agree.
//! The process ends, and its state comes back from the last good barrier, the log and the peers.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// A sync that failed. Fatal for the process: see [`abort_on_failed_sync`].
#[derive(Debug, thiserror::Error)]
#[error("sync of {} failed: what is on disk is no longer known", path.display())]
pub struct SyncFailed {
    /// The file or folder.
    pub path: PathBuf,
    #[source]
    source: io::Error,
}

impl SyncFailed {
    /// The failure of a sync of `path`.
    pub fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_path_buf(), source }
    }
}

/// An error that may carry a failed sync.
pub trait CarriesSyncFailure: std::error::Error {
    /// The failed sync, if this error is one.
    fn sync_failure(&self) -> Option<&SyncFailed>;
}

/// The policy: a failed sync ends the process, every other outcome passes through.
///
/// Each result of a write or barrier of this crate goes through here exactly once, where the caller acts on it.
pub fn abort_on_failed_sync<T, E: CarriesSyncFailure>(result: Result<T, E>) -> Result<T, E> {
    if let Some(failed) = result.as_ref().err().and_then(CarriesSyncFailure::sync_failure) {
        tracing::error!(path = %failed.path.display(), source = %failed.source, "a sync failed: the process ends");
        std::process::abort();
    }
    result
}

/// Syncs a file's data and the metadata needed to read it.
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<(), SyncFailed> {
    file.sync_data().map_err(|source| SyncFailed::new(path, source))
}

/// Syncs a folder, so that files created, renamed or removed in it stay so.
pub(crate) fn sync_folder(path: &Path) -> Result<(), SyncFailed> {
    // The parent of a relative name is the empty path.
    let opened = if path.as_os_str().is_empty() { File::open(".") } else { File::open(path) };
    opened.and_then(|folder| folder.sync_all()).map_err(|source| SyncFailed::new(path, source))
}
