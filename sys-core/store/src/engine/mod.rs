//! The storage engine as the rest of the system sees it: ordered keys, atomic batches, pages, views and a barrier.
//!
//! Invariants that the conformance suite holds both engines to:
//! - a batch is applied entirely or not at all, also across a crash, and a page never shows half of one;
//! - batches that returned before [`Engine::barrier`] began survive power loss once it returned;
//! - a view shows one point in time for as long as it is open;
//! - a full disk refuses writes and leaves everything readable.

mod batch;
mod behind;
mod error;
mod merge;
mod range;
mod redb;
mod sled;

use std::sync::Arc;

use bytes::Bytes;

pub use self::{
    batch::{Batch, Op},
    behind::WriteBehind,
    error::EngineError,
    range::{KeyRange, Page, Row, ScanLimit},
    redb::{RedbEngine, RedbOptions},
    sled::{SledEngine, SledOptions},
};

/// An ordered key-value store. Blocking; shared between threads.
pub trait Engine: Send + Sync {
    /// The newest value of a key.
    ///
    /// # Errors
    /// Storage errors only.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// Whether a batch may be applied now.
    ///
    /// # Errors
    /// Over-long keys, values or batches, and [`EngineError::DiskFull`].
    fn admit(&self, batch: &Batch) -> Result<(), EngineError>;

    /// Applies an admitted batch atomically. It is visible when this returns and durable after the next [`Self::barrier`].
    /// Within a batch the last operation on a key wins.
    ///
    /// # Errors
    /// Storage errors only.
    fn apply(&self, batch: Batch) -> Result<(), EngineError>;

    /// Admits and applies a batch.
    ///
    /// # Errors
    /// Those of [`Self::admit`] change nothing; those of [`Self::apply`].
    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.admit(&batch)?;
        self.apply(batch)
    }

    /// One page of rows in key order, consistent in itself.
    ///
    /// # Errors
    /// Storage errors only.
    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError>;

    /// A frozen picture of `range`, for snapshots. Cheap to open; writes go on.
    ///
    /// # Errors
    /// [`EngineError::TooManyViews`].
    fn view(&self, range: KeyRange) -> Result<Box<dyn View>, EngineError>;

    /// Makes every batch that returned before this call durable.
    ///
    /// # Errors
    /// [`EngineError::Sync`] is fatal: hand the result to [`crate::abort_on_failed_sync`].
    fn barrier(&self) -> Result<(), EngineError>;

    /// Bytes on disk.
    ///
    /// # Errors
    /// Storage errors only.
    fn disk_size(&self) -> Result<u64, EngineError>;
}

/// One point in time of a key range.
pub trait View: Send {
    /// The range that the view was opened on.
    fn range(&self) -> &KeyRange;

    /// One page of the view. Parts of `range` outside of the view's own are empty.
    ///
    /// # Errors
    /// [`EngineError::ViewOverflow`] when more changed underneath than a view may remember: open a new one.
    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError>;
}

/// Deletes everything in `range`, a bounded batch at a time; not atomic. Returns the number of rows deleted.
///
/// # Errors
/// Those of [`Engine::scan`] and [`Engine::write`].
pub fn clear(engine: &dyn Engine, range: &KeyRange) -> Result<u64, EngineError> {
    let mut deleted = 0u64;
    let mut rest = Some(range.clone());
    while let Some(range) = rest {
        let page = engine.scan(&range, ScanLimit::rows(1024))?;
        deleted = deleted.saturating_add(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
        engine.write(page.rows.into_iter().map(|row| Op::Delete { key: row.key }).collect())?;
        rest = page.next.map(|next| range.starting_at(next));
    }
    Ok(deleted)
}

impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        (**self).get(key)
    }

    fn admit(&self, batch: &Batch) -> Result<(), EngineError> {
        (**self).admit(batch)
    }

    fn apply(&self, batch: Batch) -> Result<(), EngineError> {
        (**self).apply(batch)
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        (**self).scan(range, limit)
    }

    fn view(&self, range: KeyRange) -> Result<Box<dyn View>, EngineError> {
        (**self).view(range)
    }

    fn barrier(&self) -> Result<(), EngineError> {
        (**self).barrier()
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        (**self).disk_size()
    }
}
