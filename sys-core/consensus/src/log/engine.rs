//! The files behind all groups' logs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_keys::aead::Cipher;
use holdfast_keys::{LocalKey, derive};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, ReadableSize};
use tokio::sync::{mpsc, oneshot};

use super::committer::{self, BATCH_KEY, Change, LOG_REGION, Lazy, StoredEntry, Write};
use super::reader::Reader;
use super::seal::Place;
use super::tail_guard::{self, TailGuard};
use crate::{folders, limits};

/// Key of the value that only the right key opens.
const KEY_CHECK: &[u8] = b"key-check";
const LOG_PLACE: Place = Place { region: LOG_REGION, replica: 0 };
/// How often files without live entries are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(15);

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogOpenError {
    /// The directory cannot be used.
    #[error("cannot use {dir}")]
    Io {
        /// The log's directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Sealed under another node's key, or damaged in the one value that tells.
    #[error(
        "the consensus log in {dir} was sealed under another key: it belongs to another node or installation"
    )]
    WrongKey {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Synced entries are damaged. The replicas here must not vote again under their ids.
    #[error(
        "the consensus log in {dir} is damaged: {detail}; replace the replicas of this node, do not reuse them"
    )]
    Damaged {
        /// The log's directory.
        dir: PathBuf,
        /// What was found.
        detail: String,
    },
}

/// The log of a process.
pub(crate) struct LogEngine {
    engine: Arc<Engine>,
    pub(super) cipher: Cipher,
    writes: Mutex<Option<mpsc::Sender<Write>>>,
    lazy: Lazy,
    reader: Reader,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stop_purger: Mutex<Option<std::sync::mpsc::Sender<()>>>,
}

impl LogEngine {
    /// Opens or creates the log in `dir`. Blocking.
    pub(crate) fn open(dir: &Path, local: &LocalKey) -> Result<Arc<Self>, LogOpenError> {
        let io_error = |source| LogOpenError::Io { dir: dir.to_owned(), source };
        folders::make(dir, 1).map_err(io_error)?;
        let guard = TailGuard::inspect(dir).map_err(io_error)?;
        let engine = Arc::new(open_engine(dir)?);
        // The engine does not do it for its first file.
        folders::sync(dir).map_err(io_error)?;
        let recovered = engine.get(LOG_REGION, BATCH_KEY).and_then(|mark| tail_guard::number(&mark));
        if let Some(batches) = guard.lost(recovered).map_err(io_error)? {
            let detail = format!("{batches} synced batches are unreadable in its newest file");
            return Err(LogOpenError::Damaged { dir: dir.to_owned(), detail });
        }
        let cipher = Cipher::new(&derive::log_key(local));
        let checked = check_key(&engine, &cipher, dir)?;

        let lazy = Lazy::default();
        let (writes, receiver) = mpsc::channel(limits::COMMIT_QUEUE);
        let committer = spawn("raft-commit", {
            let (engine, lazy) = (engine.clone(), lazy.clone());
            move || committer::run(&engine, recovered.unwrap_or(0), receiver, &lazy)
        })
        .map_err(io_error)?;
        let (reader, read) = Reader::new();
        let reading = spawn("raft-read", read).map_err(io_error)?;
        let (stop_purger, stopped) = std::sync::mpsc::channel();
        let purger = spawn("raft-purge", {
            let engine = engine.clone();
            move || purge_until(&engine, &stopped)
        })
        .map_err(io_error)?;
        if let Some(check) = checked {
            lazy.lock().unwrap_or_else(PoisonError::into_inner).insert((LOG_REGION, KEY_CHECK), check);
        }
        Ok(Arc::new(Self {
            engine,
            cipher,
            writes: Mutex::new(Some(writes)),
            lazy,
            reader,
            threads: Mutex::new(vec![committer, purger, reading]),
            stop_purger: Mutex::new(Some(stop_purger)),
        }))
    }

    /// Hands changes to the committer; `durable` runs on its thread once they are synced.
    pub(super) async fn write(
        &self,
        region: u64,
        changes: Vec<Change>,
        durable: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let bytes = changes.iter().map(size).sum();
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let writes = writes.ok_or_else(closed)?;
        let write = Write { region, changes, bytes, durable: Box::new(durable) };
        writes.send(write).await.map_err(|_| closed())
    }

    /// As [`Self::write`], and waits for the sync.
    pub(super) async fn write_durably(&self, region: u64, changes: Vec<Change>) -> io::Result<()> {
        let (done, durable) = oneshot::channel();
        self.write(region, changes, move || {
            let _ = done.send(());
        })
        .await?;
        durable.await.map_err(|_| closed())
    }

    /// Sets a value with the next batch, whenever that is.
    pub(super) fn put_lazily(&self, region: u64, key: &'static [u8], value: Vec<u8>) {
        self.lazy.lock().unwrap_or_else(PoisonError::into_inner).insert((region, key), value);
    }

    /// Forgets lazy values of a region that goes away.
    pub(super) fn forget_lazy(&self, region: u64) {
        self.lazy.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _), _| *of != region);
    }

    pub(super) fn value(&self, region: u64, key: &[u8]) -> Option<Vec<u8>> {
        self.engine.get(region, key)
    }

    /// First and last index that the engine holds for a region, stale ones past a truncation included.
    pub(super) fn span(&self, region: u64) -> Option<(u64, u64)> {
        Some((self.engine.first_index(region)?, self.engine.last_index(region)?))
    }

    /// Runs a job that calls [`Self::read`].
    pub(super) async fn on_reader<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.reader.run(job).await
    }

    /// Sealed entries from `from` to before `to`, at least one if there is one. Blocking, on the reader
    /// thread only.
    pub(super) fn read(
        &self,
        region: u64,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let mut found: Vec<BytesValue> = Vec::new();
        self.engine
            .fetch_entries_to::<StoredEntry>(region, from, to, Some(max_bytes), &mut found)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        found
            .into_iter()
            .map(|entry| {
                let (index, sealed) = entry
                    .value
                    .split_first_chunk()
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a log entry is cut short"))?;
                Ok((u64::from_be_bytes(*index), sealed.to_vec()))
            })
            .collect()
    }

    /// Regions with anything in them.
    pub(super) fn regions(&self) -> Vec<u64> {
        self.engine.raft_groups().into_iter().filter(|region| *region != LOG_REGION).collect()
    }

    /// Writes what waits and stops the threads. Blocking.
    pub(crate) fn close(&self) {
        drop(self.writes.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.reader.close();
        drop(self.stop_purger.lock().unwrap_or_else(PoisonError::into_inner).take());
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has ended the process already, or only failed to purge.
            let _ = thread.join();
        }
    }
}

/// An entry in the engine's form.
pub(super) fn stored(index: u64, sealed: &[u8]) -> BytesValue {
    let mut entry = BytesValue::new();
    entry.value.reserve(8 + sealed.len());
    entry.value.extend_from_slice(&index.to_be_bytes());
    entry.value.extend_from_slice(sealed);
    entry
}

fn open_engine(dir: &Path) -> Result<Engine, LogOpenError> {
    let config = Config {
        dir: dir.to_string_lossy().into_owned(),
        target_file_size: ReadableSize::mb(16),
        purge_threshold: ReadableSize::mb(64),
        // Sealed bytes do not compress.
        batch_compression_threshold: ReadableSize(0),
        recovery_threads: 1,
        ..Config::default()
    };
    let damaged = |detail: String| LogOpenError::Damaged { dir: dir.to_owned(), detail };
    match catch_unwind(AssertUnwindSafe(|| Engine::open(config))) {
        Ok(Ok(engine)) => Ok(engine),
        Ok(Err(raft_engine::Error::Io(source))) => Err(LogOpenError::Io { dir: dir.to_owned(), source }),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("its entries do not follow each other".into())),
    }
}

/// Checks the key, or makes the value that the next start checks.
fn check_key(engine: &Engine, cipher: &Cipher, dir: &Path) -> Result<Option<Vec<u8>>, LogOpenError> {
    match engine.get(LOG_REGION, KEY_CHECK) {
        Some(sealed) => LOG_PLACE
            .open_value(cipher, KEY_CHECK, &sealed)
            .map(|_| None)
            .map_err(|_| LogOpenError::WrongKey { dir: dir.to_owned() }),
        None if engine.raft_groups().is_empty() => LOG_PLACE
            .seal_value(cipher, KEY_CHECK, b"")
            .map(Some)
            .map_err(|error| LogOpenError::Io { dir: dir.to_owned(), source: io::Error::other(error) }),
        None => Err(LogOpenError::Damaged {
            dir: dir.to_owned(),
            detail: "it has entries and no key check".into(),
        }),
    }
}

fn purge_until(engine: &Engine, stopped: &std::sync::mpsc::Receiver<()>) {
    while stopped.recv_timeout(PURGE_EVERY) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        if let Err(error) = engine.purge_expired_files() {
            tracing::warn!(%error, "old log files were not removed");
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn size(change: &Change) -> usize {
    match change {
        Change::Append(entries) => entries.iter().map(|entry| entry.value.len()).sum(),
        Change::Put(_, value) => value.len(),
        Change::Compact(_) | Change::Delete(_) | Change::Clean => 0,
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the consensus log is closed")
}
