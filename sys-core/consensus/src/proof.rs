//! Before a replica that starts takes part, its peers tell what they remember of it.
//!
//! Until then it neither votes nor acknowledges nor campaigns; it does answer what it remembers of others, so that a whole group that
//! starts together finds its feet. It takes part once all other voters have told, or, when some stay silent for two election
//! timeouts, once those that told make a majority together with it. Whatever was acknowledged that none of these knows of must have
//! been acknowledged within the last heartbeat, or while all of them were cut off.
//!
//! One voice is enough to keep a replica out and not enough to condemn it: [`crate::testimony`] has the rule. A replica that holds nothing at all
//! has nothing to lose, and believes the first that says it had.
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
use crate::testimony::{Testimony, Told, Verdict};
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
            if self.held() == Floor::default() {
                match self.ask(from).await {
                    Some(Told { acknowledged: Some(floor), .. }) if floor > self.held() => {
                        self.roll_back(floor)
                    }
                    Some(_) => self.take_part(),
                    None => {}
                }
            }
        }
        self.proof().is_proven()
    }

    /// Asks until enough is known.
    async fn prove(self: Arc<Self>) {
        let this = &self;
        let started = Instant::now();
        let grace = started + self.election_min() * 2;
        let mut testimony = Testimony::default();
        let mut contested = None;
        while self.proof().is_open() && !self.has_stopped() {
            if self.is_alone() {
                return self.take_part();
            }
            let introduced = self.proof().introduced.lock().unwrap_or_else(PoisonError::into_inner).clone();
            testimony.about(self.other_voters(), introduced);
            let asked = testimony.to_ask().into_iter();
            let asked = asked.map(|peer| async move { Some((peer, this.ask(peer).await?)) });
            testimony.hear(join_all(asked).await.into_iter().flatten());
            match testimony.verdict(self.held(), Instant::now() >= grace) {
                Verdict::Proven => {
                    sleep_until(started + self.election_min()).await;
                    return self.take_part();
                }
                Verdict::RolledBack(floor) => return self.roll_back(floor),
                Verdict::Contested(floor) => {
                    if contested.replace(floor) != Some(floor) {
                        tracing::warn!(
                            group = %self.group(), replica = %self.id(), %floor, held = %self.held(),
                            "replica_contested: one member says that it acknowledged more than it holds, and no other bears that out; it waits"
                        );
                    }
                    sleep(ASK).await;
                }
                Verdict::Open => sleep(PAUSE).await,
            }
        }
    }

    fn other_voters(&self) -> BTreeSet<ReplicaId> {
        let status = self.status().borrow();
        status.membership.voters.iter().copied().filter(|id| *id != self.id()).collect()
    }

    /// Asks a member what it remembers of this replica. `None` without an answer, or with a bad one.
    async fn ask(&self, peer: ReplicaId) -> Option<Told> {
        let payload = wire::encode(&Request::Floor).ok()?;
        let answer = self.peers().call(peer, payload, ASK).await.ok()?;
        match wire::decode(&answer) {
            Ok(Response::Floor { acknowledged, held }) => Some(Told { acknowledged, held }),
            _ => None,
        }
    }
}
