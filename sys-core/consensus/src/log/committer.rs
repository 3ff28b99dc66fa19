//! The one thread that writes the log: whatever waits is merged into one batch and synced once.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, Engine, LogBatch, MessageExt};
use tokio::sync::mpsc;

use super::tail_guard;
use crate::limits;

/// Region of what belongs to the whole log.
pub(super) const LOG_REGION: u64 = 0;
/// Key of the last batch's mark in [`LOG_REGION`].
pub(super) const BATCH_KEY: &[u8] = b"batch";

/// An entry as the engine keeps it: `index (8 bytes) ‖ sealed`.
#[derive(Clone)]
pub(super) struct StoredEntry;

impl MessageExt for StoredEntry {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |index| u64::from_be_bytes(*index))
    }
}

/// One change of a region. Changes of one [`Write`] become durable together.
pub(super) enum Change {
    /// Drops entries below an index.
    Compact(u64),
    /// Appends entries, replacing those from the first's index on.
    Append(Vec<BytesValue>),
    /// Sets a value.
    Put(&'static [u8], Vec<u8>),
    /// Removes a value.
    Delete(&'static [u8]),
    /// Drops the region.
    Clean,
}

/// Changes of one region, and what to do when they are durable.
pub(super) struct Write {
    pub(super) region: u64,
    pub(super) changes: Vec<Change>,
    pub(super) bytes: usize,
    pub(super) durable: Box<dyn FnOnce() + Send>,
}

/// Values that are worth no sync of their own: they go with the next batch. The last one of a key wins.
pub(super) type Lazy = Arc<Mutex<BTreeMap<(u64, &'static [u8]), Vec<u8>>>>;

/// Writes until all senders are gone, then once more what is lazy.
pub(super) fn run(engine: &Engine, mut batch_number: u64, mut writes: mpsc::Receiver<Write>, lazy: &Lazy) {
    while let Some(first) = writes.blocking_recv() {
        let mut batch = LogBatch::default();
        let mut bytes = first.bytes;
        let mut durable = vec![add(&mut batch, first)];
        while bytes < limits::COMMIT_BYTES
            && let Ok(next) = writes.try_recv()
        {
            bytes = bytes.saturating_add(next.bytes);
            durable.push(add(&mut batch, next));
        }
        commit(engine, &mut batch, &mut batch_number, lazy);
        for done in durable {
            done();
        }
    }
    commit(engine, &mut LogBatch::default(), &mut batch_number, lazy);
}

fn add(batch: &mut LogBatch, write: Write) -> Box<dyn FnOnce() + Send> {
    let Write { region, changes, bytes: _, durable } = write;
    for change in changes {
        let added = match change {
            Change::Compact(index) => {
                batch.add_command(region, Command::Compact { index });
                Ok(())
            }
            Change::Append(entries) => batch.add_entries::<StoredEntry>(region, &entries),
            Change::Put(key, value) => batch.put(region, key.to_vec(), value),
            Change::Delete(key) => {
                batch.delete(region, key.to_vec());
                Ok(())
            }
            Change::Clean => {
                batch.add_command(region, Command::Clean);
                Ok(())
            }
        };
        added.unwrap_or_else(|error| die(&error.to_string()));
    }
    durable
}

fn commit(engine: &Engine, batch: &mut LogBatch, number: &mut u64, lazy: &Lazy) {
    let lazy = std::mem::take(&mut *lazy.lock().unwrap_or_else(PoisonError::into_inner));
    for ((region, key), value) in lazy {
        batch.put(region, key.to_vec(), value).unwrap_or_else(|error| die(&error.to_string()));
    }
    *number = number.saturating_add(1);
    batch
        .put(LOG_REGION, BATCH_KEY.to_vec(), tail_guard::mark(*number))
        .unwrap_or_else(|error| die(&error.to_string()));
    // The engine panics when a sync fails; unwinding would leave a process that never answers again.
    match catch_unwind(AssertUnwindSafe(|| engine.write(batch, true))) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => die(&error.to_string()),
        Err(_) => die("fsync failed"),
    }
}

/// Ends the process. After a failed write or sync nobody knows what the disk holds: the next start reads it back.
#[expect(clippy::print_stderr, reason = "the last words must come out even without a subscriber")]
fn die(reason: &str) -> ! {
    tracing::error!(reason, "the consensus log cannot be written: ending the process");
    eprintln!(
        "holdfast: the consensus log cannot be written ({reason}): ending the process, as its state on disk is unknown"
    );
    std::process::abort()
}
