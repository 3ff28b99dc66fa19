//! sled 0.34 as an [`Engine`].
//!
//! What it needs to be trusted, each found by cutting the power:
//! - its `flush` does not sync on Linux: the barrier adds `fdatasync` through a descriptor of our own, open since before
//!   the first write, so that no write-back error goes unseen;
//! - opening writes a synced digest of the log it read, so what it reads is synced first;
//! - opening a damaged store can panic: it runs in a guarded thread, and attempts that never came back are counted;
//! - values stay small enough never to leave the one file that the barrier covers (see [`crate::limits`]).

mod open;
mod view;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use bytes::Bytes;

use self::view::{Overlay, SledView};
use super::{
    Batch, Engine, EngineError, KeyRange, Op, Page, Row, ScanLimit, View,
    range::{PageBuilder, Room},
};
use crate::{
    durability::{SyncFailed, sync_data},
    files::folder_size,
    limits::{DISK_RESERVE_BYTES, MAX_VIEW_BYTES, MAX_VIEWS},
    space::SpaceGuard,
};

/// Each changed row leaves a few pieces of garbage behind, and a sweep takes 512.
const CHANGES_A_SWEEP: usize = 32;

/// Settings of a [`SledEngine`].
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Memory for sled's page cache.
    pub cache_bytes: u64,
    /// Free disk space that writes leave alone.
    pub reserve_bytes: u64,
    /// Bytes of pre-images that one view may keep.
    pub view_bytes: usize,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 * 1024 * 1024, reserve_bytes: DISK_RESERVE_BYTES, view_bytes: MAX_VIEW_BYTES }
    }
}

/// An [`Engine`] over sled: the default.
pub struct SledEngine {
    shared: Arc<Shared>,
}

struct Shared {
    tree: sled::Tree,
    db: sled::Db,
    /// Readers hold it for a page, writers for a batch: sled applies batches alone anyway, and only so is a page
    /// consistent and no change escapes an open view.
    gate: RwLock<Vec<std::sync::Weak<Overlay>>>,
    sync_file: File,
    /// Set by the first failed sync; nothing is durable after it.
    broken: OnceLock<()>,
    space: SpaceGuard,
    view_bytes: usize,
    path: PathBuf,
}

impl SledEngine {
    /// Opens or creates a store in the folder `path`.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the store has to be rebuilt, [`EngineError::InUse`] when another process has it.
    pub fn open(path: &Path, options: &SledOptions) -> Result<Self, EngineError> {
        let opened = open::open(path, options.cache_bytes)?;
        let shared = Shared {
            tree: (*opened.db).clone(),
            db: opened.db,
            gate: RwLock::default(),
            sync_file: opened.sync_file,
            broken: OnceLock::new(),
            space: SpaceGuard::new(path, options.reserve_bytes),
            view_bytes: options.view_bytes,
            path: path.to_path_buf(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Shared {
    fn error(&self, error: sled::Error) -> EngineError {
        open::classify(error, &self.path)
    }

    fn check_unbroken(&self) -> Result<(), EngineError> {
        match self.broken.get() {
            None => Ok(()),
            Some(()) => {
                Err(SyncFailed::new(&self.path, std::io::Error::other("an earlier sync failed")).into())
            }
        }
    }

    /// One page straight from the tree. The caller holds the gate.
    fn page(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        let mut page = PageBuilder::new(limit);
        if range.is_empty() {
            return Ok(page.finish());
        }
        let start = std::ops::Bound::Included(&**range.start());
        let end = range.end().map_or(std::ops::Bound::Unbounded, |end| std::ops::Bound::Excluded(&**end));
        for row in self.tree.range::<&[u8], _>((start, end)) {
            let (key, value) = row.map_err(|error| self.error(error))?;
            if page.push(Row { key: copied(&key), value: copied(&value) }) == Room::Full {
                break;
            }
        }
        Ok(page.finish())
    }
}

fn copied(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Frees what as many changes left behind, once no reader can see it. Left alone that happens at each 128th access and takes 512 pieces
/// at most: with large batches and few accesses hundreds of MiB wait.
fn free_garbage(changes: usize) {
    for _ in 0..=changes / CHANGES_A_SWEEP {
        crossbeam_epoch::pin().flush();
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.shared.tree.get(key).map_err(|error| self.shared.error(error))?;
        Ok(value.as_deref().map(copied))
    }

    fn admit(&self, batch: &Batch) -> Result<(), EngineError> {
        let shared = &self.shared;
        batch.check()?;
        shared.check_unbroken()?;
        if batch.ops().iter().any(|op| matches!(op, Op::Put { .. })) {
            shared.space.admit(batch.byte_len()).map_err(|full| EngineError::DiskFull {
                path: shared.space.path().to_path_buf(),
                available: full.available,
                reserve: full.reserve,
            })?;
        }
        Ok(())
    }

    fn apply(&self, batch: Batch) -> Result<(), EngineError> {
        let shared = &self.shared;
        shared.check_unbroken()?;
        let mut overlays = shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        overlays.retain(|overlay| overlay.strong_count() > 0);
        for overlay in overlays.iter().filter_map(std::sync::Weak::upgrade) {
            for op in batch.ops() {
                overlay
                    .remember(op.key(), || shared.tree.get(op.key()))
                    .map_err(|error| shared.error(error))?;
            }
        }
        let count = batch.ops().len();
        let mut changes = sled::Batch::default();
        for op in batch.into_ops() {
            match op {
                Op::Put { key, value } => changes.insert(&*key, &*value),
                Op::Delete { key } => changes.remove(&*key),
            }
        }
        let applied = shared.tree.apply_batch(changes).map_err(|error| shared.error(error));
        free_garbage(count);
        applied
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        let _gate = self.shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.shared.page(range, limit)
    }

    fn view(&self, range: KeyRange) -> Result<Box<dyn View>, EngineError> {
        let overlay = Arc::new(Overlay::new(range, self.shared.view_bytes));
        let mut overlays = self.shared.gate.write().unwrap_or_else(PoisonError::into_inner);
        overlays.retain(|overlay| overlay.strong_count() > 0);
        if overlays.len() >= MAX_VIEWS {
            return Err(EngineError::TooManyViews);
        }
        overlays.push(Arc::downgrade(&overlay));
        Ok(Box::new(SledView::new(Arc::clone(&self.shared), overlay)))
    }

    fn barrier(&self) -> Result<(), EngineError> {
        let shared = &self.shared;
        shared.check_unbroken()?;
        let flushed = shared.db.flush().map_err(|error| match error {
            sled::Error::Io(source) => SyncFailed::new(&shared.path, source).into(),
            other => shared.error(other),
        });
        let synced = flushed.and_then(|_| Ok(sync_data(&shared.sync_file, &shared.path.join("db"))?));
        if synced.is_err() {
            shared.broken.get_or_init(|| ());
        }
        synced
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        folder_size(&self.shared.path).map_err(EngineError::io("measure", &self.shared.path))
    }
}
