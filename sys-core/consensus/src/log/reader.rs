//! The one thread that reads the log's files.
//!
//! The engine keeps the last block that was read in a thread-local cache whose key does not name the engine: on threads
//! shared by two logs in one process (tests do that), one would be given the other's bytes.

use std::io;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Hands jobs to the thread; it ends when this is closed.
pub(super) struct Reader(Mutex<Option<mpsc::Sender<Job>>>);

impl Reader {
    /// The handle, and what the thread runs.
    pub(super) fn new() -> (Self, impl FnOnce() + Send + 'static) {
        let (jobs, queue) = mpsc::channel::<Job>();
        let run = move || {
            while let Ok(job) = queue.recv() {
                job();
            }
        };
        (Self(Mutex::new(Some(jobs))), run)
    }

    /// Runs a job on the thread and waits for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let closed = || io::Error::new(io::ErrorKind::BrokenPipe, "the consensus log is closed");
        let (done, result) = oneshot::channel();
        let job = move || {
            // A panic would end the thread for everybody: the engine asserts what a damaged file can break.
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
            let _ = done.send(ran);
        };
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        jobs.and_then(|jobs| jobs.send(Box::new(job)).ok()).ok_or_else(closed)?;
        result.await.map_err(|_| closed())?.map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "the log engine found its files inconsistent")
        })
    }

    pub(super) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
