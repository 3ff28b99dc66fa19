//! Where jobs on the engine run.
//!
//! From its cache the engine answers in microseconds, less than handing a job to another thread takes: then a job runs at once, on the
//! thread of whoever wants it. After one that had to wait for the disk the next ones go to threads that may wait.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A job that takes this long has waited for something.
const SLOW: Duration = Duration::from_millis(1);

/// How many jobs go elsewhere after a slow one.
const AVOIDED: u32 = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU32);

impl Pace {
    /// Whether the next job may run at once.
    pub(super) fn is_quick(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            // Two at once may count as one; it is an estimate.
            self.0.store(left - 1, Ordering::Relaxed);
        }
        left == 0
    }

    /// A job took so long.
    pub(super) fn took(&self, time: Duration) {
        if time > SLOW {
            self.0.store(AVOIDED, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_slow_job_some_go_elsewhere() {
        let pace = Pace::default();
        pace.took(Duration::from_micros(20));
        assert!(pace.is_quick());
        pace.took(SLOW * 2);
        assert_eq!((0..AVOIDED + 5).filter(|_| pace.is_quick()).count(), 5);
    }
}
