//! Which counters were used: the highest, and the [`WINDOW`] before it (as RFC 4303, 3.4.3 has it).

use super::limits::WINDOW;

/// Counters of one session. Zero counts as used, so counters begin at 1.
#[derive(Debug)]
pub(super) struct Window {
    highest: u64,
    /// Bit `n`: `highest - n` was used.
    used: u64,
}

/// A counter that was used, or is too far behind to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Replayed;

impl Window {
    pub(super) const fn new() -> Self {
        Self { highest: 0, used: 1 }
    }

    /// Takes a counter, once.
    pub(super) fn take(&mut self, counter: u64) -> Result<(), Replayed> {
        if counter > self.highest {
            let ahead = counter - self.highest;
            // A shift by the width or more is no shift: then nothing of the old window is left.
            let moved = if ahead < WINDOW { self.used << ahead } else { 0 };
            *self = Self { highest: counter, used: moved | 1 };
            return Ok(());
        }
        let behind = self.highest - counter;
        if behind >= WINDOW || self.used & (1 << behind) != 0 {
            return Err(Replayed);
        }
        self.used |= 1 << behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_the_same_and_what_is_far_behind_are_replays() {
        let mut window = Window::new();
        assert_eq!(window.take(0), Err(Replayed));
        assert_eq!(window.take(1), Ok(()));
        assert_eq!(window.take(1), Err(Replayed));
        assert_eq!(window.take(100), Ok(()));
        assert_eq!(window.take(36), Err(Replayed), "64 behind");
        assert_eq!(window.take(37), Ok(()), "63 behind");
        assert_eq!(window.take(u64::MAX), Ok(()));
        assert_eq!(window.take(u64::MAX), Err(Replayed));
        assert_eq!(window.take(100), Err(Replayed));
    }

    proptest! {
        #[test]
        fn invariant_no_counter_is_taken_twice(
            counters in prop::collection::vec(prop_oneof![0u64..200, any::<u64>()], 0..300),
        ) {
            let (mut window, mut taken) = (Window::new(), BTreeSet::new());
            for counter in counters {
                let highest = taken.last().copied().unwrap_or(0);
                let fresh = counter != 0 && !taken.contains(&counter) && (counter > highest || highest - counter < WINDOW);
                prop_assert_eq!(window.take(counter).is_ok(), fresh);
                if fresh {
                    taken.insert(counter);
                }
            }
        }
    }
}
