//! A load of some clients that each go on at once with the next call, bounded in time and in count.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::stream::{FuturesUnordered, TryStreamExt as _};

use super::{float_len, ms};

/// Most calls of one load, whatever the time.
const MAX_CALLS: usize = 500_000;

/// What a load did.
#[derive(Debug)]
pub(crate) struct Load {
    /// Time of each call, ascending.
    latencies: Vec<Duration>,
    /// Time of the whole.
    pub(crate) elapsed: Duration,
}

impl Load {
    /// From measured calls.
    pub(crate) fn new(mut latencies: Vec<Duration>, elapsed: Duration) -> Self {
        latencies.sort_unstable();
        Self { latencies, elapsed }
    }

    /// How many calls.
    pub(crate) fn calls(&self) -> f64 {
        float_len(self.latencies.len())
    }

    /// Calls in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.calls() / self.elapsed.as_secs_f64()
    }

    /// The time in milliseconds within which this many percent of the calls ended.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        ms(self.latencies.get(last * percent / 100).copied().unwrap_or_default())
    }
}

/// Runs `clients` at once for `span`, each with calls made by `call(client)`, all on the calling task.
///
/// # Errors
/// Those of a call end the load.
pub(crate) async fn run<F, Fut>(clients: usize, span: Duration, call: F) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    run_at_most(clients, MAX_CALLS / clients.max(1), span, call).await
}

/// The same with at most `each` calls by a client.
///
/// # Errors
/// Those of a call end the load.
pub(crate) async fn run_at_most<F, Fut>(
    clients: usize,
    each: usize,
    span: Duration,
    call: F,
) -> anyhow::Result<Load>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let start = Instant::now();
    let call = &call;
    let one = |client| async move {
        let mut latencies = Vec::new();
        while latencies.len() < each && start.elapsed() < span {
            let begin = Instant::now();
            call(client).await?;
            latencies.push(begin.elapsed());
        }
        anyhow::Ok(latencies)
    };
    let running: FuturesUnordered<_> = (0..clients).map(one).collect();
    let all: Vec<Vec<Duration>> = running.try_collect().await?;
    Ok(Load::new(all.concat(), start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_load_ends_by_itself_and_counts_its_calls() {
        let load = run(4, Duration::from_millis(30), |_| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        });
        let load = load.await.unwrap();
        assert!(load.calls() >= 4.0 && load.rate() > 0.0 && load.percentile(50) <= load.percentile(99));
    }
}
