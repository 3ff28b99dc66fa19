//! Clients that write all the time, so that it shows when nobody answers.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_client::files::FileName;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{cluster::Account, measure::ms};

/// Between two writes of a client: enough of them to see a pause to the hundredth of a second, few enough to leave the machine to what is
/// measured.
const REST: Duration = Duration::from_millis(10);

/// When a write began and ended.
pub(super) type Write = (Instant, Instant);

/// One write after the other by each account.
pub(super) struct Writing {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<anyhow::Result<Vec<Write>>>>,
}

impl Writing {
    pub(super) fn start(runtime: &Handle, accounts: &[Account]) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let file = std::env::temp_dir().join(format!("bench-pulse-{}", std::process::id()));
        fs::write(&file, b"pulse").context("a small file")?;
        let mut writers = Vec::new();
        for account in accounts {
            let (stop, file, files) = (Arc::clone(&stop), file.clone(), account.client.files());
            let name = FileName::new(b"pulse".to_vec()).context("a name")?;
            writers.push(runtime.spawn(async move {
                let mut writes = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    files.put(&name, &file, &|_| {}).await.context("a write")?;
                    writes.push((begin, Instant::now()));
                    tokio::time::sleep(REST).await;
                }
                anyhow::Ok(writes)
            }));
        }
        Ok(Self { stop, writers })
    }

    /// All writes of each account, in their order.
    pub(super) fn finish(self, runtime: &Handle) -> anyhow::Result<Vec<Vec<Write>>> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.into_iter().map(|writer| runtime.block_on(writer).context("a writer")?).collect()
    }
}

/// Milliseconds of the slowest of some writes that was under way between two moments.
pub(super) fn longest(writes: &[Write], from: Instant, to: Instant) -> f64 {
    let during = writes.iter().filter(|(begin, end)| *end > from && *begin < to);
    during.map(|(begin, end)| ms(*end - *begin)).fold(0.0, f64::max)
}
