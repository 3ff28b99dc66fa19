//! How fast a client must be. A transfer takes one of few places, so it must not be held by doing next to nothing: time that is spent
//! waiting for the client uses credit up, and each byte brings some back.

use std::time::Duration;

use holdfast_domain::Reason;
use holdfast_sys_core::Refusal;
use tokio::time::Instant;

use crate::limits::LEAST_BYTES_PER_SECOND;

/// The credit of one transfer. Never more than it began with: a fast start buys no long silence.
pub(crate) struct Pace {
    most: Duration,
    credit: Duration,
}

impl Pace {
    pub(crate) fn new(most: Duration) -> Self {
        Self { most, credit: most }
    }

    /// Until when to wait for the client, from now on.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.credit
    }

    /// The client moved `bytes` before `deadline`.
    pub(crate) fn moved(&mut self, deadline: Instant, bytes: usize) {
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / LEAST_BYTES_PER_SECOND;
        self.credit = left.saturating_add(Duration::from_millis(millis)).min(self.most);
    }
}

/// What a client hears that was too slow.
pub(crate) fn too_slow() -> Refusal {
    Refusal::new(Reason::Overloaded).because("a transfer that hardly moves")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// How many messages of this size and pause are taken before the client is too slow; at most 1,000.
    fn taken(bytes: usize, pause: Duration) -> u32 {
        let mut pace = Pace::new(MINUTE);
        for count in 0..1_000 {
            // As if the pause had passed.
            let deadline = pace.deadline().checked_sub(pause).unwrap();
            if deadline <= Instant::now() {
                return count;
            }
            pace.moved(deadline, bytes);
        }
        1_000
    }

    #[test]
    fn a_slow_client_is_served_and_one_that_hardly_moves_is_not() {
        let seconds = Duration::from_secs;
        assert_eq!(taken(64 << 10, seconds(10)), 1_000);
        assert_eq!(taken(256 << 10, seconds(39)), 1_000);
        assert!(taken(1, seconds(59)) < 3, "a byte a minute");
        assert!(taken(1 << 10, seconds(1)) < 100, "a kilobyte a second");
        assert!(taken(usize::MAX, seconds(61)) == 0, "a silence is too long after any start");
    }
}
