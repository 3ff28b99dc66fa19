//! Keeps a reserve of free space, so that an engine never meets a full disk half way through a write.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::limits::SPACE_CHECK_BYTES;

/// Too little free space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoSpace {
    pub(crate) available: u64,
    pub(crate) reserve: u64,
}

/// Looks at the free space of a file system once every [`SPACE_CHECK_BYTES`] written, and at each write while it is full.
pub(crate) struct SpaceGuard {
    path: PathBuf,
    reserve: u64,
    unchecked: AtomicU64,
}

impl SpaceGuard {
    pub(crate) fn new(path: &Path, reserve: u64) -> Self {
        // Starts as if a look was due: the first write makes it.
        Self { path: path.to_path_buf(), reserve, unchecked: AtomicU64::new(SPACE_CHECK_BYTES) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Admits a write of `bytes`. A failing `statvfs` admits: the write itself will say what is wrong.
    pub(crate) fn admit(&self, bytes: usize) -> Result<(), NoSpace> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let due = self.unchecked.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if due < SPACE_CHECK_BYTES {
            return Ok(());
        }
        self.require(0)?;
        self.unchecked.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Looks at once whether `bytes` more leave the reserve alone.
    pub(crate) fn require(&self, bytes: u64) -> Result<(), NoSpace> {
        let Ok(stat) = rustix::fs::statvfs(&self.path) else { return Ok(()) };
        let available = stat.f_bavail.saturating_mul(stat.f_frsize);
        if available < self.reserve.saturating_add(bytes) {
            return Err(NoSpace { available, reserve: self.reserve });
        }
        Ok(())
    }
}
