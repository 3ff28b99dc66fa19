//! The thread that carries layers down. It sleeps while nothing is written.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::Shared;

/// How long rows stay in memory at most, while the engine below keeps up.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Pause after the engine below took nothing.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Flusher(Option<(SyncSender<()>, JoinHandle<()>)>);

impl Flusher {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let run = move || run(&shared, &woken);
        let thread = std::thread::Builder::new().name("rows-down".into()).spawn(run)?;
        Ok(Self(Some((wake, thread))))
    }

    /// There is something to carry.
    pub(super) fn wake(&self) {
        if let Some((wake, _)) = &self.0 {
            // One that was not heard yet says the same.
            let _ = wake.try_send(());
        }
    }

    /// Ends the thread; what waits stays.
    pub(super) fn stop(&mut self) {
        if let Some((wake, thread)) = self.0.take() {
            drop(wake);
            // One that panicked has nothing left to do either.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, woken: &Receiver<()>) {
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
