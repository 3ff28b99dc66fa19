//! Opening sled: sync what it will read, guard against its panics, wait for a previous instance to let go.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::EngineError;
use crate::{
    durability::{sync_data, sync_folder},
    files::{ReplaceError, replace},
};

/// sled's largest sensible segment; with [`crate::limits::MAX_VALUE_BYTES`] it keeps every leaf inside the main file.
const SEGMENT_SIZE: usize = 8 * 1024 * 1024;

/// How long a dropped instance may take to release its lock.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Opens in a row that never came back before the store counts as damaged. One alone may be a kill or a power cut.
const MAX_DEAD_OPENS: u8 = 2;

/// Counts opens that have begun and not come back: a panic may take the whole process with it.
const ATTEMPTS_FILE: &str = "opening";

pub(super) struct Opened {
    pub(super) db: sled::Db,
    pub(super) sync_file: File,
}

pub(super) fn open(path: &Path, cache_bytes: u64) -> Result<Opened, EngineError> {
    fs::create_dir_all(path).map_err(EngineError::io("create", path))?;
    let data = path.join("db");
    let existing = match OpenOptions::new().read(true).write(true).open(&data) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(EngineError::io("open", &data)(error)),
    };
    if let Some(file) = &existing {
        sync_data(file, &data)?;
    }
    let attempts = path.join(ATTEMPTS_FILE);
    begin_attempt(path, &attempts)?;
    let result = open_patiently(path, cache_bytes);
    fs::remove_file(&attempts).map_err(EngineError::io("remove", &attempts))?;
    let db = result?;
    let sync_file = match existing {
        Some(file) => file,
        None => File::open(&data).map_err(EngineError::io("open", &data))?,
    };
    db.flush().map_err(|error| classify(error, path))?;
    sync_data(&sync_file, &data)?;
    sync_folder(path)?;
    if let Some(parent) = path.parent() {
        sync_folder(parent)?;
    }
    Ok(Opened { db, sync_file })
}

fn begin_attempt(path: &Path, attempts: &Path) -> Result<(), EngineError> {
    let dead = match fs::read(attempts) {
        Ok(bytes) => bytes.first().copied().unwrap_or(1),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(EngineError::io("read", attempts)(error)),
    };
    if dead >= MAX_DEAD_OPENS {
        return Err(damaged(path, format!("{dead} attempts to open it did not come back")));
    }
    replace(attempts, &[dead.saturating_add(1)]).map_err(|error| match error {
        ReplaceError::Io(source) => EngineError::io("write", attempts)(source),
        ReplaceError::Sync(failed) => failed.into(),
    })
}

fn open_patiently(path: &Path, cache_bytes: u64) -> Result<sled::Db, EngineError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match open_guarded(path, cache_bytes) {
            Err(EngineError::InUse { .. }) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20))
            }
            result => return result,
        }
    }
}

fn open_guarded(path: &Path, cache_bytes: u64) -> Result<sled::Db, EngineError> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(cache_bytes)
        .segment_size(SEGMENT_SIZE)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    let opener = thread::Builder::new()
        .name("sled-open".into())
        .spawn(move || config.open())
        .map_err(EngineError::io("start a thread to open", path))?;
    match opener.join() {
        Ok(result) => result.map_err(|error| classify(error, path)),
        Err(_panic) => Err(damaged(path, "opening it panicked".into())),
    }
}

/// sled's errors in our words.
pub(super) fn classify(error: sled::Error, path: &Path) -> EngineError {
    match error {
        sled::Error::Io(source) if is_lock_conflict(&source) => {
            EngineError::InUse { path: path.to_path_buf() }
        }
        sled::Error::Io(source) => EngineError::io("use the store in", path)(source),
        other => damaged(path, other.to_string()),
    }
}

/// sled reports a lock that is held as `Other` with this text, not as a `WouldBlock`.
fn is_lock_conflict(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().starts_with("could not acquire lock")
}

fn damaged(path: &Path, detail: String) -> EngineError {
    EngineError::Damaged { path: path.to_path_buf(), detail }
}
