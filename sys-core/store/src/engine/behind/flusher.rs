//! Carries layers down, in a thread of its own that sleeps while nothing is written.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

use super::Shared;

/// How long rows stay in memory at most, while the engine below keeps up: a row that every command of a home changes goes down once in it.
const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// Pause after the engine below took nothing.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Until nobody can wake it any more; what waits then stays.
pub(super) fn run(shared: &Shared, woken: &Receiver<()>) {
    while let Ok(()) = woken.recv() {
        // Whatever comes within this time goes down together; a full layer does not wait.
        if woken.recv_timeout(FLUSH_EVERY) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        while let Err(error) = shared.flush() {
            tracing::error!(%error, "rows cannot be written: they stay in memory and in the log");
            if woken.recv_timeout(RETRY_AFTER) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}
