//! The actor: one thread owns the TPM, everyone else holds a clonable [`Tpm`] and queues jobs.
//!
//! Invariants: at most `MAX_QUEUED_*` jobs wait; urgent jobs overtake ordinary ones; a job nobody waits for any more is
//! skipped; a panicking job does not end the thread; the thread ends when the last handle is dropped.

mod device;
mod queue;

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

pub(crate) use self::device::Device;
pub(crate) use self::queue::Priority;
use self::queue::{Queue, QueueFull};
use crate::error::{JobError, TpmError};
use crate::limits::CLOSE_TIMEOUT;

/// Handle to a TPM. Cheap to clone.
#[derive(Clone)]
pub struct Tpm {
    inner: Arc<Handle>,
}

struct Handle {
    queue: Arc<Queue>,
    tcti: String,
    /// Disconnected once the thread has closed the TPM.
    closed: Mutex<mpsc::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    /// Waits until the TPM is closed: the C libraries below must not be in use when the process ends, as they clean up
    /// behind `main`. A TPM that hangs is not waited for.
    fn drop(&mut self) {
        self.queue.close();
        let closed = self.closed.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: this ends by disconnection or by patience.
        let ended = closed.recv_timeout(CLOSE_TIMEOUT) == Err(mpsc::RecvTimeoutError::Disconnected);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            join(thread);
        }
    }
}

/// Waits for the thread's very end: OpenSSL cleans up behind its last line too.
fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // A panic of the thread was reported when it happened.
        drop(thread.join());
    }
}

impl Tpm {
    /// Starts the thread for the TPM at `tcti` (`device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`), connects and
    /// flushes what earlier users left behind. Blocks until the TPM answered.
    ///
    /// libtss2 writes its own log to stderr; processes that log themselves set `TSS2_LOG=all+NONE` in their unit file.
    ///
    /// # Errors
    /// [`TpmError::Address`] or [`TpmError::Unreachable`].
    pub fn open(tcti: &str) -> Result<Self, TpmError> {
        let mut device = Device::new(tcti)?;
        let queue = Arc::new(Queue::default());
        let (opened, result) = mpsc::sync_channel(1);
        let jobs = Arc::clone(&queue);
        let (closing, closed) = mpsc::channel::<()>();
        let work = move || {
            let first = device.perform("open", |_| Ok(()));
            let usable = first.is_ok();
            if opened.send(first).is_err() || !usable {
                return;
            }
            while let Some(job) = jobs.next() {
                job(&mut device);
            }
            drop(device);
            drop(closing);
        };
        let thread = thread::Builder::new().name("tpm".into()).spawn(work).map_err(|_| TpmError::Stopped)?;
        if let Err(error) = result.recv().unwrap_or(Err(TpmError::Stopped)) {
            join(thread);
            return Err(error);
        }
        let (tcti, closed) = (tcti.to_owned(), Mutex::new(closed));
        Ok(Self { inner: Arc::new(Handle { queue, tcti, closed, thread: Some(thread) }) })
    }

    /// Where this TPM is.
    #[must_use]
    pub fn tcti(&self) -> &str {
        &self.inner.tcti
    }

    /// Queues a job and waits for its result.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        operation: &'static str,
        job: impl FnOnce(&mut Device) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, TpmError> {
        let (reply, result) = tokio::sync::oneshot::channel();
        self.push(priority, move |device| {
            if !reply.is_closed() {
                // The receiver may have gone meanwhile: then nobody wants the result.
                drop(reply.send(device.perform(operation, job)));
            }
        })?;
        result.await.map_err(|_| TpmError::Stopped)?
    }

    /// The same for callers that cannot await, such as a TLS library asking for a signature.
    pub(crate) fn run_blocking<T: Send + 'static>(
        &self,
        priority: Priority,
        operation: &'static str,
        job: impl FnOnce(&mut Device) -> Result<T, JobError> + Send + 'static,
    ) -> Result<T, TpmError> {
        let (reply, result) = mpsc::sync_channel(1);
        self.push(priority, move |device| {
            drop(reply.send(device.perform(operation, job)));
        })?;
        result.recv().map_err(|_| TpmError::Stopped)?
    }

    fn push(
        &self,
        priority: Priority,
        job: impl FnOnce(&mut Device) + Send + 'static,
    ) -> Result<(), TpmError> {
        self.inner.queue.push(priority, Box::new(job)).map_err(|QueueFull { limit }| TpmError::Busy { limit })
    }
}

#[cfg(test)]
mod tests;
