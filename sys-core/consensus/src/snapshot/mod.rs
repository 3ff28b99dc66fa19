//! Snapshots of one replica on disk: one current file, replaced by rename after it is synced.

mod sealed_file;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_keys::aead::Cipher;
pub(crate) use sealed_file::SealedReader;
use sealed_file::SealedWriter;

use crate::codec::{self, MetaRecord};
use crate::types::SnapshotMeta;
use crate::{folders, limits};

const CURRENT: &str = "current.snapshot";

/// A complete snapshot file, open: it stays readable when a newer one takes its name.
#[derive(Clone)]
pub(crate) struct SnapshotFile {
    file: Arc<File>,
    store: Arc<SnapshotStore>,
    /// Set while it waits to become the current one.
    incoming: Option<Arc<TempPath>>,
}

/// A file that goes away unless it is kept.
struct TempPath(PathBuf);

impl Drop for TempPath {
    fn drop(&mut self) {
        // Gone already when it was renamed.
        let _ = fs::remove_file(&self.0);
    }
}

impl SnapshotFile {
    /// Bytes of the file: somewhat more than those of the state in it.
    pub(crate) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// A number that no other snapshot has.
    pub(crate) fn number(&self) -> io::Result<u64> {
        self.open().map(|(_, reader)| reader.number())
    }

    /// Reads the state from the beginning.
    pub(crate) fn reader(&self) -> io::Result<SealedReader> {
        self.open().map(|(_, reader)| reader)
    }

    fn open(&self) -> io::Result<(SnapshotMeta, SealedReader)> {
        let mut reader = SealedReader::new(self.file.clone(), self.store.clone())?;
        let meta = reader.chunk()?.ok_or_else(|| damaged("it ends before its description"))?;
        let meta: MetaRecord = codec::decode(&meta, limits::MAX_META_BYTES).map_err(damaged)?;
        Ok((meta.try_into().map_err(damaged)?, reader))
    }
}

fn damaged(detail: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("snapshot is damaged: {}", detail.to_string()))
}

/// The snapshots of one replica.
pub(crate) struct SnapshotStore {
    dir: PathBuf,
    cipher: Cipher,
    context: Vec<u8>,
    bytes_per_second: u64,
    next_temp: AtomicU64,
    current: Mutex<Option<(SnapshotMeta, SnapshotFile)>>,
}

impl SnapshotStore {
    /// Opens a replica's directory. Blocking.
    pub(crate) fn open(
        dir: &Path,
        cipher: Cipher,
        group: u32,
        replica: u64,
        bytes_per_second: u64,
    ) -> io::Result<Arc<Self>> {
        folders::make(dir, 2)?;
        remove_temps(dir)?;
        let store = Arc::new(Self {
            dir: dir.to_owned(),
            cipher,
            context: [group.to_be_bytes().as_slice(), &replica.to_be_bytes()].concat(),
            bytes_per_second,
            next_temp: AtomicU64::new(0),
            current: Mutex::new(None),
        });
        match File::open(dir.join(CURRENT)) {
            Ok(file) => {
                let file = SnapshotFile { file: Arc::new(file), store: store.clone(), incoming: None };
                let (meta, _) = file.open()?;
                *store.lock() = Some((meta, file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(store)
    }

    /// The current snapshot.
    pub(crate) fn current(&self) -> Option<(SnapshotMeta, SnapshotFile)> {
        self.lock().clone()
    }

    /// Starts a new file. Throttled when it is written from our own machine.
    pub(crate) fn create(self: &Arc<Self>, meta: SnapshotMeta, throttled: bool) -> io::Result<NewSnapshot> {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{number}.tmp"));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        let temp = TempPath(path);
        let rate = if throttled { Some(self.bytes_per_second) } else { None };
        let mut writer = SealedWriter::new(file, self.clone(), rate)?;
        let record = codec::encode(&MetaRecord::from(&meta)).map_err(io::Error::other)?;
        writer.write_all(&record)?;
        writer.end_chunk()?;
        Ok(NewSnapshot { meta, writer, temp })
    }

    /// Whether a snapshot of so many bytes may come in and be installed. Blocking.
    pub(crate) fn check_room(&self, bytes: u64) -> io::Result<()> {
        if bytes > limits::MAX_SNAPSHOT_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{bytes} bytes are announced")));
        }
        let stat = rustix::fs::statvfs(&self.dir)?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < bytes.saturating_mul(2).saturating_add(limits::SNAPSHOT_RESERVE_BYTES) {
            let detail = format!("{free} bytes are free and {bytes} announced");
            return Err(io::Error::new(io::ErrorKind::StorageFull, detail));
        }
        Ok(())
    }

    /// Makes a snapshot the current one, durably, unless the current one is as new. Either way `file` stays readable.
    /// Blocking.
    pub(crate) fn adopt(self: &Arc<Self>, meta: &SnapshotMeta, file: &SnapshotFile) -> io::Result<()> {
        let Some(temp) = &file.incoming else {
            if Arc::ptr_eq(self, &file.store) {
                return Ok(());
            }
            // Another replica's, in the same process: it is sealed for that one.
            let mut copy = self.create(meta.clone(), false)?;
            io::copy(&mut file.reader()?, copy.writer())?;
            let (meta, copy) = copy.finish()?;
            return self.adopt(&meta, &copy);
        };
        let mut current = self.lock();
        if current.as_ref().is_some_and(|(newest, _)| newest.last_log_id >= meta.last_log_id) {
            return Ok(());
        }
        fs::rename(&temp.0, self.dir.join(CURRENT))?;
        File::open(&self.dir)?.sync_all()?;
        *current = Some((meta.clone(), SnapshotFile { incoming: None, ..file.clone() }));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(SnapshotMeta, SnapshotFile)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_temps(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// A snapshot being written. Dropping it removes the file.
pub(crate) struct NewSnapshot {
    meta: SnapshotMeta,
    writer: SealedWriter,
    temp: TempPath,
}

impl NewSnapshot {
    /// What it is a snapshot of.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Where the state goes.
    pub(crate) fn writer(&mut self) -> &mut impl io::Write {
        &mut self.writer
    }

    /// Ends and syncs the file, which then waits for [`SnapshotStore::adopt`]. Blocking.
    pub(crate) fn finish(self) -> io::Result<(SnapshotMeta, SnapshotFile)> {
        let Self { meta, writer, temp } = self;
        let (file, store) = writer.finish()?;
        file.sync_all()?;
        Ok((meta, SnapshotFile { file: Arc::new(file), store, incoming: Some(Arc::new(temp)) }))
    }
}

#[cfg(test)]
mod tests;
