//! A thread that can be woken, and is waited for in the end.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{Builder, JoinHandle},
};

pub(super) struct Worker(Option<(SyncSender<()>, JoinHandle<()>)>);

impl Worker {
    /// Runs `work`, which is to end when what it is given is disconnected.
    pub(super) fn start(name: &str, work: impl FnOnce(&Receiver<()>) + Send + 'static) -> io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let thread = Builder::new().name(name.to_owned()).spawn(move || work(&woken))?;
        Ok(Self(Some((wake, thread))))
    }

    pub(super) fn wake(&self) {
        if let Some((wake, _)) = &self.0 {
            // One that was not heard yet says the same.
            let _ = wake.try_send(());
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&mut self) {
        if let Some((wake, thread)) = self.0.take() {
            drop(wake);
            // One that panicked has nothing left to do either.
            let _ = thread.join();
        }
    }
}
