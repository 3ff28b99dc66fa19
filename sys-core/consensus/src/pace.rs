//! Where jobs run that seldom wait.
//!
//! From its cache an engine answers in microseconds, less than it takes to hand a job to another thread or to have one ready: then a job
//! runs where it is called, on a thread of the runtime. After one that waited for the disk the next ones run where they may wait. A job
//! that took long because other processes had the core did not wait: under load that would be most of them.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::sys::resource::{UsageWho, getrusage};

/// A wait that counts: for a lock nobody waits as long.
const SLOW: Duration = Duration::from_millis(1);

/// How many jobs run elsewhere after one that waited.
const AVOIDED: u32 = 32;

/// See the module.
#[derive(Debug, Default)]
pub struct Pace(AtomicU32);

impl Pace {
    /// Whether the next job may run at once.
    pub fn is_quick(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            // Two at once may count as one; it is an estimate.
            self.0.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// Runs a job, here or elsewhere, and notes whether it waited.
    pub fn watch<T>(&self, job: impl FnOnce() -> T) -> T {
        let (started, before) = (Instant::now(), waits());
        let result = job();
        if started.elapsed() > SLOW && waits().is_none_or(|after| Some(after) != before) {
            self.0.store(AVOIDED, Ordering::Relaxed);
        }
        result
    }
}

/// How often this thread gave up its core to wait for something (`getrusage(2)`, `ru_nvcsw`).
fn waits() -> Option<i64> {
    getrusage(UsageWho::RUSAGE_THREAD).ok().map(|usage| usage.voluntary_context_switches())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_job_that_waited_some_run_elsewhere() {
        let pace = Pace::default();
        pace.watch(|| std::thread::sleep(SLOW * 2));
        assert_eq!((0..AVOIDED + 5).filter(|_| pace.is_quick()).count(), 5);
    }

    #[test]
    fn a_job_that_only_computes_did_not_wait() {
        let pace = Pace::default();
        let started = Instant::now();
        pace.watch(|| while started.elapsed() < SLOW * 2 {});
        assert!(pace.is_quick());
    }
}
