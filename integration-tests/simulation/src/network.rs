//! Who reaches whom, how late, and how often twice or never.

use std::collections::BTreeMap;

use crate::chance::Chance;

/// The place of the registry.
pub const REGISTRY: usize = usize::MAX;

/// The network.
#[derive(Debug, Default)]
pub struct Network {
    /// One-way cuts, and until when.
    cuts: BTreeMap<(usize, usize), u64>,
    /// Nothing is lost or late any more.
    pub calm: bool,
}

impl Network {
    /// When what is sent now arrives; not at all, once, or twice.
    pub fn arrivals(&self, (from, to): (usize, usize), now: u64, chance: &mut Chance) -> Vec<u64> {
        if self.calm {
            return vec![now + 5];
        }
        if self.cuts.get(&(from, to)).is_some_and(|until| *until > now) || chance.happens(50) {
            return Vec::new();
        }
        let late = |chance: &mut Chance| {
            now + if chance.happens(15) { chance.between(200, 4_000) } else { chance.between(1, 60) }
        };
        let first = late(chance);
        if chance.happens(30) { vec![first, late(chance)] } else { vec![first] }
    }

    /// Cuts one way.
    pub fn cut(&mut self, from: usize, to: usize, until: u64) {
        self.cuts.insert((from, to), until);
    }
}
