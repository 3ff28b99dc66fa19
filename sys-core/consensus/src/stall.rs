//! A replica whose machine does not come back from applying does not lead.
//!
//! A machine may have to wait, for a key or for a disk, with its log in order: such a replica would be elected and could answer
//! nobody. Once one call of its machine lasts longer than two elections, it does not campaign, does not take the lead over, and hands
//! over the lead that it has to a voter that says that it could lead. Without one it keeps it: nobody would do better. It goes on
//! voting and acknowledging.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_domain::ReplicaId;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::net::Hosted;
use crate::net::wire::{self, Request, Response};
use crate::replica::Replica;
use crate::{Role, limits};

/// Since when the machine applies.
#[derive(Default)]
pub(crate) struct Stall {
    since: Mutex<Option<Instant>>,
    /// It has applied for too long.
    stands_aside: AtomicBool,
    /// Held by whoever hands the lead over.
    handing: tokio::sync::Mutex<()>,
}

impl Stall {
    pub(crate) fn begin(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn end(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn lasts(&self, limit: Duration) -> bool {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() > limit)
    }
}

/// Looks at all replicas of a process until it shuts down.
pub(crate) async fn run(hosted: Hosted, election_max: Duration, mut closing: watch::Receiver<bool>) {
    let mut look = interval(election_max / 2);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => return,
            _ = look.tick() => {}
        }
        let replicas: Vec<_> =
            hosted.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for replica in replicas {
            replica.judge_stall(election_max);
        }
    }
}

impl Replica {
    /// Whether this replica could lead: it votes and its machine goes on. One that waits for the same as the leader's, and began a little
    /// later, says no too.
    pub(crate) fn can_lead(&self) -> bool {
        let votes = self.status().borrow().membership.voters.contains(&self.id());
        votes && self.proof().is_proven() && !self.stands_aside() && !self.stall().lasts(self.election_min())
    }

    pub(crate) fn stands_aside(&self) -> bool {
        self.stall().stands_aside.load(Ordering::Acquire)
    }

    fn judge_stall(self: Arc<Self>, election_max: Duration) {
        let stalls = self.stall().lasts(election_max * 2);
        if self.stall().stands_aside.swap(stalls, Ordering::AcqRel) != stalls {
            self.raft().runtime_config().elect(!stalls);
            if stalls {
                tracing::warn!(group = %self.group(), replica = %self.id(), "replica_stands_aside: its machine does not come back from applying");
            } else {
                tracing::info!(group = %self.group(), replica = %self.id(), "replica_may_lead_again");
            }
        }
        if stalls && self.leads() {
            tokio::spawn(async move { self.give_up_lead(election_max).await });
        }
    }

    async fn give_up_lead(&self, patience: Duration) {
        let Ok(_handing) = self.stall().handing.try_lock() else { return };
        for to in self.successors() {
            if !self.could_lead(to).await {
                continue;
            }
            let Some(_entered) = self.enter() else { return };
            if self.stands_aside() && self.raft().trigger().transfer_leader(to.0).await.is_ok() {
                let gone = |status: &crate::GroupStatus| status.role != Role::Leader;
                let _ = tokio::time::timeout(patience, self.status().clone().wait_for(gone)).await;
            }
            return;
        }
    }

    /// Whether a member says that it could lead.
    pub(crate) async fn could_lead(&self, member: ReplicaId) -> bool {
        let Ok(payload) = wire::encode(&Request::CanLead) else { return false };
        let answer = self.peers().call(member, payload, limits::CAN_LEAD_PATIENCE).await;
        answer.is_ok_and(|answer| matches!(wire::decode(&answer), Ok(Response::CanLead(true))))
    }
}
