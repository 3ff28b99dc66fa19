//! Writes kept in memory above another engine, which gets many of them at once.
//!
//! A batch need not be durable when it is written (see [`Engine::write`]): the log of whoever writes it is. So an engine may hear of it a
//! moment later: rows that change often go down once, and hundreds of batches share the cost of one. Rows that were read or written
//! lately are kept, so that hot rows cost a look-up in memory, and so do rows that were never written. Invariants:
//! - what a newer layer says of a row counts before older layers and the engine below;
//! - a layer goes down as one batch and layers go down in order, so what a crash leaves is all batches up to one of them;
//! - only admitted batches are taken, with room for all that waits, so that a full disk is met before a write and not after it.

mod cache;
mod flusher;
mod layers;
mod learner;
mod names;
mod view;
mod worker;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use self::{cache::RowCache, layers::Layers, names::Names, view::LayeredView, worker::Worker};
use super::{Batch, Engine, EngineError, KeyRange, Page, ScanLimit, View, merge::full_page};
use crate::limits::{MAX_WAITING_LAYERS, ROW_CACHE_BYTES};

/// See the module.
pub struct WriteBehind {
    shared: Arc<Shared>,
    flusher: Worker,
    learner: Worker,
}

struct Shared {
    below: Box<dyn Engine>,
    names: Names,
    layers: RwLock<Layers>,
    cache: RowCache,
    /// Held by the one who carries layers down.
    carrying: Mutex<()>,
}

impl WriteBehind {
    /// Above `below`, which nobody else may write to.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn over(below: impl Engine + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            below: Box::new(below),
            names: Names::new(),
            layers: RwLock::default(),
            cache: RowCache::new(ROW_CACHE_BYTES),
            carrying: Mutex::default(),
        });
        let (down, names) = (Arc::clone(&shared), Arc::clone(&shared));
        let flusher = Worker::start("rows-down", move |woken| flusher::run(&down, woken))?;
        let learner = Worker::start("names-below", move |stopped| learner::run(&names, stopped))?;
        Ok(Self { shared, flusher, learner })
    }
}

/// What is in memory goes down.
impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.learner.stop();
        self.flusher.stop();
        if let Err(error) = self.shared.flush() {
            tracing::warn!(%error, "the newest rows were not written: the next start takes them from the log");
        }
    }
}

impl Shared {
    fn layers(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn layers_mut(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn carrying(&self) -> MutexGuard<'_, ()> {
        self.carrying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let above = self.layers().get(key);
        match above {
            Some(row) => Ok(row),
            // What came above meanwhile was written after this read began.
            None => self.below.get(key),
        }
    }

    /// Whether nothing says that there is such a row. The layers first: what leaves them was named before.
    fn is_absent(&self, key: &[u8]) -> bool {
        self.layers().get(key).is_none() && !self.names.may_have(key)
    }

    /// Carries everything down that was written before.
    fn flush(&self) -> Result<(), EngineError> {
        let last = self.layers_mut().seal();
        self.carry(last)
    }

    /// Carries sealed layers down, up to the `last`th ever sealed.
    fn carry(&self, last: u64) -> Result<(), EngineError> {
        let _carrying = self.carrying();
        loop {
            let Some(oldest) = self.layers().oldest(last) else { return Ok(()) };
            self.names.add(oldest.put_names());
            self.below.apply(oldest.batch())?;
            self.layers_mut().drop_oldest();
        }
    }
}

impl Engine for WriteBehind {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let shared = &*self.shared;
        if let Some(row) = shared.cache.get(key) {
            return Ok(row);
        }
        if shared.is_absent(key) { Ok(None) } else { shared.cache.get_or(key, || shared.look(key)) }
    }

    fn admit(&self, batch: &Batch) -> Result<(), EngineError> {
        self.shared.below.admit(batch)?;
        let (waiting, last) = self.shared.layers().waiting();
        // Whoever writes faster than the engine below waits for it, and hears why it takes nothing.
        if waiting > MAX_WAITING_LAYERS { self.shared.carry(last) } else { Ok(()) }
    }

    fn apply(&self, batch: Batch) -> Result<(), EngineError> {
        let mut layers = self.shared.layers_mut();
        for op in batch.ops() {
            self.shared.cache.put(op);
        }
        let wake = layers.put(batch);
        drop(layers);
        if wake {
            self.flusher.wake();
        }
        Ok(())
    }

    fn scan(&self, range: &KeyRange, limit: ScanLimit) -> Result<Page, EngineError> {
        let layers = self.shared.layers();
        full_page(range, limit, &layers.oldest_first(), |range| self.shared.below.scan(range, limit))
    }

    fn view(&self, range: KeyRange) -> Result<Box<dyn View>, EngineError> {
        let mut layers = self.shared.layers_mut();
        let below = self.shared.below.view(range)?;
        layers.seal();
        Ok(Box::new(LayeredView::new(below, layers.sealed())))
    }

    fn barrier(&self) -> Result<(), EngineError> {
        self.shared.flush()?;
        self.shared.below.barrier()
    }

    fn disk_size(&self) -> Result<u64, EngineError> {
        self.shared.below.disk_size()
    }
}
