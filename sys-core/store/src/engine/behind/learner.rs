//! Reads which names were there at the start, in a thread of its own. It pauses as long as it reads: there is no hurry.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Instant,
};

use super::Shared;
use crate::engine::{EngineError, KeyRange, ScanLimit};

/// Rows read at a time: writers wait for it.
const PAGE_ROWS: usize = 1024;

pub(super) fn run(shared: &Shared, stopped: &Receiver<()>) {
    if let Err(error) = learn(shared, stopped) {
        tracing::warn!(%error, "absent rows are looked for on the disk until the next start");
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
