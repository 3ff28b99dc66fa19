//! The thread that reads which names were there at the start. It pauses as long as it reads: there is no hurry.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Instant,
};

use super::Shared;
use crate::engine::{EngineError, KeyRange, ScanLimit};

/// Rows read at a time: writers wait for it.
const PAGE_ROWS: usize = 1024;

pub(super) struct Learner(Option<(SyncSender<()>, JoinHandle<()>)>);

impl Learner {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (stop, stopped) = sync_channel(1);
        let run = move || match learn(&shared, &stopped) {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "absent rows are looked for on the disk until the next start")
            }
        };
        let thread = std::thread::Builder::new().name("names-below".into()).spawn(run)?;
        Ok(Self(Some((stop, thread))))
    }

    pub(super) fn stop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            // One that panicked has nothing left to do either.
            let _ = thread.join();
        }
    }
}

fn learn(shared: &Shared, stopped: &Receiver<()>) -> Result<(), EngineError> {
    let mut rest = Some(KeyRange::all());
    while let Some(range) = rest {
        let began = Instant::now();
        let page = shared.below.scan(&range, ScanLimit::rows(PAGE_ROWS))?;
        shared.names.add(page.rows.iter().map(|row| &*row.key));
        rest = page.next.map(|next| range.starting_at(next));
        if rest.is_some() && stopped.recv_timeout(began.elapsed()) == Err(RecvTimeoutError::Disconnected) {
            return Ok(());
        }
    }
    shared.names.complete();
    Ok(())
}
