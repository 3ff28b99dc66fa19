//! Before a replica that starts takes part, its peers tell what they remember of it.
//!
//! Until then it neither votes nor acknowledges nor campaigns; it does answer what it remembers of others, so that a whole group that
//! starts together finds its feet. It takes part once all other voters have told, or, when some stay silent for two election
//! timeouts, once those that told make a majority together with it. Whatever was acknowledged that none of these knows of must have
//! been acknowledged within the last heartbeat, or while all of them were cut off.
//!
//! A replica that held a vote before takes part no earlier than the shortest election timeout after its start: it forgot which
//! leader's lease it confirmed.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use holdfast_domain::ReplicaId;
use tokio::time::{Instant, sleep, sleep_until};

use crate::net::wire::{self, Request, Response};
use crate::replica::Replica;
use crate::{Floor, Rollback, Standing};

/// Patience for one answer, and the pause between two questions.
const ASK: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(30);

/// Where the proof of a replica is.
pub(crate) struct Proof {
    standing: AtomicU8,
    /// Leaders and candidates that this replica may not know as voters yet. Learners do not count: one that knows nothing of it, and one
    /// voter of three, would be no majority.
    introduced: Mutex<BTreeSet<ReplicaId>>,
}

const PROVING: u8 = 0;
const PROVEN: u8 = 1;
const ROLLED_BACK: u8 = 2;

impl Proof {
    pub(crate) fn new() -> Self {
        Self { standing: AtomicU8::new(PROVING), introduced: Mutex::default() }
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.standing.load(Ordering::Acquire) == PROVEN
    }

    fn is_open(&self) -> bool {
        self.standing.load(Ordering::Acquire) == PROVING
    }
}

/// Whether enough voters told: all `others` that this replica knows of, or later so many that they are a majority with it. One that
/// was asked when it voted and does not any more counts no longer.
fn is_enough(
    others: &BTreeSet<ReplicaId>,
    introduced: &BTreeSet<ReplicaId>,
    told: &BTreeSet<ReplicaId>,
    late: bool,
) -> bool {
    let counted = told.iter().filter(|id| others.contains(id) || introduced.contains(id)).count();
    let all = !others.is_empty() && others.is_subset(told);
    all || (late && counted >= others.len().div_ceil(2).max(1))
}

impl Replica {
    /// Judges the disk by what the registry remembers, and takes part at once where there is nobody to ask.
    pub(crate) fn begin_proof(self: &Arc<Self>, floor: Option<Floor>) {
        let held = self.held();
        if let Some(floor) = floor.filter(|floor| *floor > held) {
            return self.roll_back(floor);
        }
        if self.is_alone() {
            return self.take_part();
        }
        // An empty replica waits for whoever sends it something, or for its bootstrap.
        if held != Floor::default() {
            tokio::spawn(self.clone().prove());
        }
    }

    fn is_alone(&self) -> bool {
        let status = self.status().borrow();
        let voters = &status.membership.voters;
        voters.len() == 1 && voters.contains(&self.id())
    }

    /// Takes part from now on.
    pub(crate) fn take_part(&self) {
        let now =
            self.proof().standing.compare_exchange(PROVING, PROVEN, Ordering::AcqRel, Ordering::Acquire);
        if now.is_ok() {
            self.raft().runtime_config().tick(true);
            self.publish(|status| status.standing = Standing::Proven);
        }
    }

    fn roll_back(&self, floor: Floor) {
        let held = self.held();
        self.proof().standing.store(ROLLED_BACK, Ordering::Release);
        self.raft().runtime_config().tick(false);
        self.publish(|status| status.standing = Standing::RolledBack(Rollback { floor, held }));
        tracing::error!(
            group = %self.group(), replica = %self.id(), %floor, %held,
            "replica_rolled_back: its disk is older than what it acknowledged; it takes no part and must be replaced"
        );
    }

    /// Before a request of a member is looked at: whether this replica takes part. An empty one asks the sender, if that
    /// is a leader or a candidate.
    pub(crate) async fn admits(self: &Arc<Self>, from: ReplicaId, as_voter: bool) -> bool {
        if self.proof().is_proven() {
            return true;
        }
        if as_voter && self.proof().is_open() {
            self.proof().introduced.lock().unwrap_or_else(PoisonError::into_inner).insert(from);
            if self.held() == Floor::default() && self.is_told(from).await.is_some() {
                self.take_part();
            }
        }
        self.proof().is_proven()
    }

    /// Asks until enough is known.
    async fn prove(self: Arc<Self>) {
        let this = &self;
        let started = Instant::now();
        let grace = started + self.election_min() * 2;
        let mut told = BTreeSet::new();
        while self.proof().is_open() && !self.has_stopped() {
            if self.is_alone() {
                return self.take_part();
            }
            let voters: BTreeSet<_> = self
                .status()
                .borrow()
                .membership
                .voters
                .iter()
                .copied()
                .filter(|id| *id != self.id())
                .collect();
            let introduced = self.proof().introduced.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let silent: Vec<_> = voters.union(&introduced).copied().filter(|id| !told.contains(id)).collect();
            let asked = silent.into_iter().map(|peer| async move { this.is_told(peer).await.map(|()| peer) });
            told.extend(join_all(asked).await.into_iter().flatten());
            if is_enough(&voters, &introduced, &told, Instant::now() >= grace) {
                sleep_until(started + self.election_min()).await;
                return self.take_part();
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks a member what it remembers of this replica, and judges it. `None` without an answer, or with a bad one.
    async fn is_told(&self, peer: ReplicaId) -> Option<()> {
        let payload = wire::encode(&Request::Floor).ok()?;
        let answer = self.peers().call(peer, payload, ASK).await.ok()?;
        let Ok(Response::Floor(floor)) = wire::decode(&answer) else { return None };
        match floor {
            Some(floor) if floor > self.held() => {
                self.roll_back(floor);
                None
            }
            Some(_) | None => Some(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_only_voters_prove_a_replica() {
        let set = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect::<BTreeSet<_>>();
        let (two, four) = (set(&[2, 3]), set(&[2, 3, 4, 5]));
        for (others, introduced, told, late, enough) in [
            (&two, &[][..], &[2, 3][..], false, true),
            (&two, &[], &[2], false, false),
            (&two, &[], &[2], true, true),
            // A learner, or one that voted once.
            (&two, &[], &[9], true, false),
            (&four, &[], &[2, 9], true, false),
            (&four, &[], &[2, 3], true, true),
            // Somebody that was elected since.
            (&two, &[9], &[9], true, true),
            (&set(&[]), &[9], &[9], true, true),
            (&set(&[]), &[], &[], true, false),
        ] {
            assert_eq!(
                is_enough(others, &set(introduced), &set(told), late),
                enough,
                "{others:?} {introduced:?} {told:?} {late}"
            );
        }
    }
}
