//! How often the disk is asked how full it is.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Commands of this long fill a small part of the headroom; a system call for each of them would not be worth it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When there was room last.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Option<Instant>>);

impl Room {
    /// Looks, unless there was room a moment ago. As long as there is none, each call looks.
    pub(super) fn require<E>(&self, look: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if seen.is_some_and(|seen| now.saturating_duration_since(seen) < LOOK_EVERY) {
            return Ok(());
        }
        *seen = None;
        look()?;
        *seen = Some(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_within_a_moment_and_for_as_long_as_it_is_full() {
        let room = Room::default();
        let full = || Err::<(), _>("full");
        assert_eq!(room.require(full), full());
        assert_eq!(room.require(full), full());
        assert_eq!(room.require(|| Ok::<_, &str>(())), Ok(()));
        std::thread::sleep(LOOK_EVERY);
        assert_eq!(room.require(full), full());
    }
}
