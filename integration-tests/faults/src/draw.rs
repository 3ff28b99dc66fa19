//! Choices that can be made again.

/// A small generator (SplitMix64): the same seed gives the same choices everywhere.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any().checked_rem(bound).unwrap_or(0)
    }

    /// A position in a list of this length; 0 when it is empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(u64::try_from(length).unwrap_or(0))).unwrap_or(0)
    }

    /// True once in `often` times.
    pub fn once_in(&mut self, often: u64) -> bool {
        self.below(often) == 0
    }
}

/// The seed that the environment asks for (`HOLDFAST_SEED`), or one of the moment.
pub fn seed() -> u64 {
    asked_for()
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos())))
}

/// The seed that the environment asks for, or the same always: a test says the same today as yesterday.
pub fn test_seed() -> u64 {
    asked_for().unwrap_or(1)
}

#[expect(
    clippy::panic,
    reason = "a wrong seed must not go unseen, and only tests and the chaos program get here"
)]
fn asked_for() -> Option<u64> {
    let seed = std::env::var("HOLDFAST_SEED").ok()?;
    Some(seed.parse().unwrap_or_else(|_| panic!("HOLDFAST_SEED={seed} is no number")))
}
