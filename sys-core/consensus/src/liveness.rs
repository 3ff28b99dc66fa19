//! Which peer processes live: asked only about those that a sleeping group depends on, one ping a process, however many groups.
//!
//! A process counts as lost when two pings in a row fail, or when its own pings do not reach us: a path that works one way only is
//! no path for a group that sleeps. A process that started anew, or in which the group's replica stopped, counts as lost too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use holdfast_domain::GroupId;
use tokio::time::Instant;

use crate::freshness::random_number;
use crate::net::Link;
use crate::net::wire::{Life, Pong};
use crate::{PeerId, limits};

/// What this process tells of itself, and what it knows of others.
pub(crate) struct Liveness {
    incarnation: u64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    stops: u64,
    stopped: VecDeque<u32>,
    unreachable: BTreeMap<PeerId, Instant>,
    /// The latest answers, for groups that fall asleep together.
    answered: BTreeMap<PeerId, (Instant, Pong)>,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self { incarnation: random_number(), told: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process, as of now.
    pub(crate) fn life(&self) -> Life {
        Life { incarnation: self.incarnation, stops: self.lock().stops }
    }

    /// The answer to a peer's ping.
    pub(crate) fn pong(&self, asker: PeerId) -> Pong {
        let told = self.lock();
        Pong {
            life: Life { incarnation: self.incarnation, stops: told.stops },
            stopped: told.stopped.iter().copied().collect(),
            deaf: told.unreachable(asker),
        }
    }

    /// A replica of this process stopped: peers whose group sleeps must know.
    pub(crate) fn stopped(&self, group: GroupId) {
        let mut told = self.lock();
        told.stops = told.stops.saturating_add(1);
        told.stopped.push_back(group.0);
        if told.stopped.len() > limits::MAX_TOLD_STOPS {
            told.stopped.pop_front();
        }
    }

    /// Whether pings reach a peer, as far as any were tried.
    pub(crate) fn reaches(&self, peer: PeerId) -> bool {
        !self.lock().unreachable(peer)
    }

    /// Asks a peer, unless it answered just now.
    pub(crate) async fn meet(&self, peer: PeerId, link: &Link) -> Option<Pong> {
        let known = self.lock().answered.get(&peer).cloned();
        if let Some((at, pong)) = known
            && at.elapsed() < limits::PING_EVERY
        {
            return Some(pong);
        }
        let asked = Instant::now();
        let pong = link.ping(limits::PING_PATIENCE).await.ok()?;
        self.lock().answered.insert(peer, (asked, pong.clone()));
        Some(pong)
    }

    /// What the last pings said.
    pub(crate) fn pinged(&self, peer: PeerId, at: Instant, reached: bool) {
        let mut told = self.lock();
        if reached {
            told.unreachable.remove(&peer);
        } else {
            told.unreachable.insert(peer, at);
        }
    }
}

impl Told {
    fn unreachable(&self, peer: PeerId) -> bool {
        self.unreachable.get(&peer).is_some_and(|since| since.elapsed() < limits::UNREACHABLE_FOR)
    }
}

/// Whether a process that was met as `met` still holds up its end of a sleeping group.
pub(crate) fn holds(met: Life, pong: &Pong, group: GroupId) -> bool {
    let Pong { life, stopped, deaf } = pong;
    if *deaf || life.incarnation != met.incarnation {
        return false;
    }
    let Some(since) = life.stops.checked_sub(met.stops) else { return false };
    let Ok(since) = usize::try_from(since) else { return false };
    since <= stopped.len() && !stopped.iter().rev().take(since).any(|stopped| *stopped == group.0)
}

#[cfg(test)]
mod tests {
    use holdfast_domain::NodeId;

    use super::*;

    #[test]
    fn only_the_groups_that_stopped_are_lost() {
        let (liveness, asker) = (Liveness::new(), PeerId::Node(NodeId::new([1; 16])));
        liveness.stopped(GroupId(7));
        let met = liveness.life();
        liveness.stopped(GroupId(8));
        let pong = liveness.pong(asker);
        assert!(holds(met, &pong, GroupId(7)), "it stopped before");
        assert!(!holds(met, &pong, GroupId(8)));
        assert!(!holds(Life { incarnation: met.incarnation + 1, ..met }, &pong, GroupId(7)));
        for group in 0..100 {
            liveness.stopped(GroupId(1_000 + group));
        }
        assert!(!holds(met, &liveness.pong(asker), GroupId(7)), "more than it remembers");
        liveness.pinged(asker, Instant::now(), false);
        assert!(!holds(liveness.life(), &liveness.pong(asker), GroupId(7)), "one way only");
        liveness.pinged(asker, Instant::now(), true);
        assert!(holds(liveness.life(), &liveness.pong(asker), GroupId(7)));
    }
}
