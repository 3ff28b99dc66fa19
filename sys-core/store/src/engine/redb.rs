//! redb as an [`Engine`]: the second one, so that the choice of sled stays a choice.
//!
//! Batches commit without a sync; the barrier is an empty commit with one, which makes all earlier ones durable.

use std::{
    ops::Bound,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadOnlyTable, ReadableDatabase as _, StorageError,
    TableDefinition,
};

use super::{
    Batch, Engine, EngineError, KeyRange, Op, Page, Row, ScanLimit, View,
    range::{PageBuilder, Room},
};
use crate::{
    durability::{SyncFailed, sync_folder},
    files::folder_size,
    limits::{DISK_RESERVE_BYTES, MAX_VIEWS},
    space::SpaceGuard,
};

const TABLE: TableDefinition<&[u8], &[u8]> = TableDefinition::new("state");
const FILE: &str = "state.redb";

/// How long a dropped instance may take to release its lock.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Settings of a [`RedbEngine`].
#[derive(Debug, Clone)]
pub struct RedbOptions {
    /// Memory for redb's page cache.
    pub cache_bytes: usize,
    /// Free disk space that writes leave alone.
    pub reserve_bytes: u64,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: 256 * 1024 * 1024, reserve_bytes: DISK_RESERVE_BYTES }
    }
}

/// An [`Engine`] over redb.
pub struct RedbEngine {
    db: Database,
    broken: OnceLock<()>,
    space: SpaceGuard,
    views: Arc<AtomicUsize>,
    path: PathBuf,
}

impl RedbEngine {
    /// Opens or creates a store in the folder `path`.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the store has to be rebuilt, [`EngineError::InUse`] when another process has it.
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, EngineError> {
        std::fs::create_dir_all(path).map_err(EngineError::io("create", path))?;
        let engine = Self {
            db: open_patiently(path, options.cache_bytes)?,
            broken: OnceLock::new(),
            space: SpaceGuard::new(path, options.reserve_bytes),
            views: Arc::default(),
            path: path.to_path_buf(),
        };
        engine.commit(Durability::Immediate, Vec::new())?;
        sync_folder(path)?;
        if let Some(parent) = path.parent() {
            sync_folder(parent)?;
        }
        Ok(engine)
    }

    fn error(&self, error: impl Into<redb::Error>) -> EngineError {
        classify(error.into(), &self.path)
    }

    fn commit(&self, durability: Durability, ops: Vec<Op>) -> Result<(), EngineError> {
        let mut transaction = self.db.begin_write().map_err(|error| self.error(error))?;
        transaction.set_durability(durability).map_err(|error| self.error(error))?;
        {
            let mut table = transaction.open_table(TABLE).map_err(|error| self.error(error))?;
            for op in ops {
                match op {
                    Op::Put { key, value } => table.insert(&*key, &*value).map(drop),
                    Op::Delete { key } => table.remove(&*key).map(drop),
                }
                .map_err(|error| self.error(error))?;
            }
        }
        transaction.commit().map_err(|error| self.error(error))
    }

    fn table(&self) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, EngineError> {
        let transaction = self.db.begin_read().map_err(|error| self.error(error))?;
        transaction.open_table(TABLE).map_err(|error| self.error(error))
    }

    fn check_unbroken(&self) -> Result<(), EngineError> {
        match self.broken.get() {
            None => Ok(()),
            Some(()) => {
                Err(SyncFailed::new(&self.path, std::io::Error::other("an earlier sync failed")).into())
            }
        }
    }
}

impl Engine for RedbEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let value = self.table()?.get(key).map_err(|error| self.error(error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn admit(&self, batch: &Batch) -> Result<(), EngineError> {
        batch.check()?;
        self.check_unbroken()?;
        if batch.ops().iter().any(|op| matches!(op, Op::Put { .. })) {
            self.space.admit(batch.byte_len()).map_err(|full| EngineError::DiskFull {
                path: self.space.path().to_path_buf(),
                available: full.available,
                reserve: full.reserve,
            })?;
        }
        Ok(())
    }

    fn apply(&self, batch: Batch) -> Result<(), EngineError> {
        self.check_unbroken()?;
        self.commit(Durability::None, batch.into_ops())
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        page(&self.table()?, range, limit, &self.path)
    }

    fn view(&self, range: KeyRange) -> Result<Box<dyn View>, EngineError> {
        let permit = ViewPermit::take(&self.views)?;
        Ok(Box::new(RedbView { table: self.table()?, range, path: self.path.clone(), _permit: permit }))
    }

    fn barrier(&self) -> Result<(), EngineError> {
        self.check_unbroken()?;
        self.commit(Durability::Immediate, Vec::new()).map_err(|error| {
            self.broken.get_or_init(|| ());
            match error {
                EngineError::Io { source, .. } => SyncFailed::new(&self.path, source).into(),
                other => other,
            }
        })
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        folder_size(&self.path).map_err(EngineError::io("measure", &self.path))
    }
}

struct RedbView {
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    range: KeyRange,
    path: PathBuf,
    _permit: ViewPermit,
}

impl View for RedbView {
    fn range(&self) -> &KeyRange {
        &self.range
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        page(&self.table, &range.intersection(&self.range), limit, &self.path)
    }
}

/// One of [`MAX_VIEWS`]: an open view keeps redb from reusing pages.
struct ViewPermit(Arc<AtomicUsize>);

impl ViewPermit {
    fn take(open: &Arc<AtomicUsize>) -> Result<Self, EngineError> {
        let permit = Self(Arc::clone(open));
        if open.fetch_add(1, Ordering::Relaxed) >= MAX_VIEWS {
            Err(EngineError::TooManyViews)
        } else {
            Ok(permit)
        }
    }
}

impl Drop for ViewPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn page(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    range: &KeyRange,
    limit: ScanLimit,
    path: &Path,
) -> Result<Page, EngineError> {
    let mut page = PageBuilder::new(limit);
    if range.is_empty() {
        return Ok(page.finish());
    }
    let end = range.end().map_or(Bound::Unbounded, |end| Bound::Excluded(&**end));
    let rows = table.range::<&[u8]>((Bound::Included(&**range.start()), end));
    for row in rows.map_err(|error| classify(error.into(), path))? {
        let (key, value) = row.map_err(|error| classify(error.into(), path))?;
        let row =
            Row { key: Bytes::copy_from_slice(key.value()), value: Bytes::copy_from_slice(value.value()) };
        if page.push(row) == Room::Full {
            break;
        }
    }
    Ok(page.finish())
}

fn open_patiently(path: &Path, cache_bytes: usize) -> Result<Database, EngineError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match Builder::new().set_cache_size(cache_bytes).create(path.join(FILE)) {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            result => return result.map_err(|error| classify(error.into(), path)),
        }
    }
}

/// redb's errors in our words.
fn classify(error: redb::Error, path: &Path) -> EngineError {
    match error {
        redb::Error::DatabaseAlreadyOpen => EngineError::InUse { path: path.to_path_buf() },
        redb::Error::Io(source) => EngineError::io("use the store in", path)(source),
        redb::Error::PreviousIo => {
            EngineError::io("use the store in", path)(std::io::Error::other(StorageError::PreviousIo))
        }
        other => EngineError::Damaged { path: path.to_path_buf(), detail: other.to_string() },
    }
}
