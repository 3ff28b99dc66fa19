//! A quiet group sleeps: no ticks, no heartbeats.
//!
//! 1. The leader lets it sleep when all its replicas are equal, committed and applied, and each agreed, by a path that works both ways.
//! 2. A leader that wakes ticks again and has its lead confirmed by a quorum before it proposes or answers.
//! 3. A follower that wakes handles the leader's entries or heartbeat first and ticks then: its silence was no sign of death.
//! 4. A sleeping replica asks its leader before it answers a request for votes.
//! 5. Pings of processes find dead ones ([`crate::liveness`]); of the voters left, one campaigns first.
//!
//! None of this is needed for safety, which is Raft's own: leases age out while a group sleeps, and a vote is a vote. It keeps a
//! group that sleeps from being disturbed, and one whose leader died from sleeping on.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use holdfast_domain::ReplicaId;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{RaftMetrics, ReadPolicy};
use tokio::time::timeout;

use crate::codec::{LogIdRecord, VoteRecord};
use crate::net::wire::{self, Life, Request, Response};
use crate::replica::Replica;
use crate::sleep::Watched;
use crate::types::{LogId, Types, Vote};
use crate::{Role, limits};

/// A leader's position when there is nothing left to do.
#[derive(PartialEq, Eq)]
struct Rest {
    vote: Vote,
    last: LogId,
    others: Vec<ReplicaId>,
}

/// The point at which a leader's group may sleep, if it is there.
fn rest(metrics: &RaftMetrics<Types>, me: ReplicaId) -> Option<Rest> {
    let last = metrics.last_applied?;
    let equal = |matched: Option<&Option<LogId>>| matched.copied().flatten() == Some(last);
    let settled = metrics.state.is_leader()
        && metrics.cluster_committed == Some(last)
        && metrics.last_log_index == Some(last.index)
        && metrics.membership_config.get_joint_config().len() == 1;
    let others: Vec<ReplicaId> =
        metrics.membership_config.nodes().map(|(id, _)| ReplicaId(*id)).filter(|id| *id != me).collect();
    let matched = metrics.replication.as_ref();
    let all = others.iter().all(|other| matched.is_some_and(|matched| equal(matched.get(&other.0))));
    (settled && all).then_some(Rest { vote: metrics.vote, last, others })
}

/// Whether a follower is where its leader rests.
fn rests_with(metrics: &RaftMetrics<Types>, vote: Vote, last: LogId) -> bool {
    !metrics.state.is_leader()
        && metrics.vote == vote
        && vote.committed
        && metrics.last_log_index == Some(last.index)
        && metrics.last_applied == Some(last)
}

impl Replica {
    /// Counts something to do and wakes the replica for it: a leader before this returns.
    pub(crate) async fn rouse(self: &Arc<Self>) {
        if !self.sleep().touch() {
            return;
        }
        if self.leads() {
            self.awaken_leader().await;
        } else {
            // What there is to do goes to the leader, which wakes everybody; this finds out if it does not.
            tokio::spawn(self.clone().find_leader());
        }
    }

    /// Ticks again.
    pub(crate) fn wake(&self) {
        if self.sleep().wake(|ticks| self.raft().runtime_config().tick(ticks)) {
            self.sleep().touch();
            self.publish(|status| status.sleeping = false);
        }
    }

    fn fall_asleep(&self, activity: u64, watched: Vec<Watched>) -> bool {
        let slept = self.sleep().fall_asleep(activity, watched, |on| self.raft().runtime_config().tick(on));
        if slept {
            self.publish(|status| status.sleeping = true);
        }
        slept
    }

    /// As the leader: lets the group sleep if it may.
    pub(crate) async fn try_to_sleep(self: Arc<Self>) {
        let Ok(_turning) = self.sleep().turning.try_lock() else { return };
        let activity = self.sleep().activity();
        let at_rest = || rest(&self.raft().metrics().borrow_watched(), self.id());
        let Some(now) = at_rest() else { return };
        // A heartbeat under way would wake who agreed.
        self.raft().runtime_config().heartbeat(false);
        self.floors().flush().await;
        let watched = self.ask_to_sleep(&now).await;
        let slept = match watched {
            Some(watched) if at_rest().as_ref() == Some(&now) => self.fall_asleep(activity, watched),
            Some(_) | None => false,
        };
        self.raft().runtime_config().heartbeat(true);
        if !slept {
            // Who agreed wakes up again; the next attempt comes after another quiet time.
            self.sleep().touch();
            let _ = self.raft().trigger().heartbeat().await;
        }
    }

    async fn ask_to_sleep(&self, rest: &Rest) -> Option<Vec<Watched>> {
        let Rest { vote, last, others } = rest;
        let request = Request::Sleep { vote: VoteRecord::from(*vote), last: LogIdRecord::from(*last) };
        let payload = wire::encode(&request).ok()?;
        let asked = others.iter().map(|other| {
            let payload = payload.clone();
            async move {
                let (peer, link) = self.peers().path(*other)?;
                let answer = self.peers().call(*other, payload, limits::SLEEP_PATIENCE).await.ok()?;
                match wire::decode(&answer) {
                    Ok(Response::Asleep(Some(met))) => Some(Watched { replica: *other, peer, link, met }),
                    Ok(_) | Err(_) => None,
                }
            }
        });
        join_all(asked).await.into_iter().collect()
    }

    /// As a follower: sleeps with its leader, if it is where the leader says and reaches it too.
    pub(crate) async fn agree_to_sleep(&self, leader: ReplicaId, vote: Vote, last: LogId) -> Option<Life> {
        let activity = self.sleep().activity();
        let equal = || rests_with(&self.raft().metrics().borrow_watched(), vote, last);
        if !self.hibernates() || !equal() {
            return None;
        }
        let (peer, link) = self.peers().path(leader)?;
        let pong = self.liveness().meet(peer, &link).await?;
        if pong.deaf || !equal() {
            return None;
        }
        let watched = vec![Watched { replica: leader, peer, link, met: pong.life }];
        self.floors().flush().await;
        self.fall_asleep(activity, watched).then(|| self.liveness().life())
    }

    /// Wakes a leader: when this returns, a quorum confirmed its lead, or it has none.
    pub(crate) async fn awaken_leader(&self) {
        let _turning = self.sleep().turning.lock().await;
        if self.sleep().is_asleep() {
            self.wake();
            // The round's heartbeats wake the others.
            let Some(_entered) = self.enter() else { return };
            let round = self.raft().get_read_log_id(ReadPolicy::ReadIndex);
            let _ = timeout(self.election_min(), round).await;
        }
    }

    /// Somebody that a sleeping replica depends on is lost.
    pub(crate) async fn lost(self: Arc<Self>, replica: ReplicaId) {
        tracing::debug!(group = %self.group(), lost = %replica, "sleeping_group_wakes");
        if self.leads() {
            self.awaken_leader().await;
        } else {
            self.find_leader().await;
        }
    }

    /// As a sleeping follower: has the leader wake the group, or campaigns if it does not answer.
    async fn find_leader(self: Arc<Self>) {
        let Ok(_asking) = self.sleep().asking.try_lock() else { return };
        if self.leader_confirms().await {
            // Its heartbeat is on the way. Without one the path works one way only, and ticking finds out what can be done.
            self.while_asleep(self.election_min()).await;
            return self.wake();
        }
        // One after the other, so that they do not split the votes.
        self.while_asleep(self.election_min().saturating_mul(self.rank())).await;
        if self.sleep().is_asleep() {
            self.wake();
            if !self.can_lead() {
                return;
            }
            let _ = self.raft().trigger().elect(true).await;
        }
    }

    /// Whether the leader that this replica knows answers, confirmed by a quorum.
    pub(crate) async fn leader_confirms(&self) -> bool {
        let Some(leader) = self.leader().filter(|leader| *leader != self.id()) else { return false };
        let Some((peer, _)) = self.peers().path(leader) else { return false };
        if !self.liveness().reaches(peer) {
            return false;
        }
        let Ok(payload) = wire::encode(&Request::ReadIndex) else { return false };
        let Ok(answer) = self.peers().call(leader, payload, self.election_min()).await else { return false };
        matches!(wire::decode(&answer), Ok(Response::ReadIndex(Some(_))))
    }

    /// Waits until the replica is woken, for so long at most.
    async fn while_asleep(&self, patience: Duration) {
        let mut status = self.status().clone();
        let _ = timeout(patience, status.wait_for(|status| !status.sleeping || status.role == Role::Stopped))
            .await;
    }

    /// The replica's turn to campaign, from group to group another's.
    fn rank(&self) -> u32 {
        let status = self.status().borrow();
        let voters: Vec<_> =
            status.membership.voters.iter().filter(|voter| Some(**voter) != status.leader).collect();
        let (Some(place), Ok(count)) =
            (voters.iter().position(|voter| **voter == self.id()), u32::try_from(voters.len()))
        else {
            return 0;
        };
        let place = u32::try_from(place).unwrap_or(0);
        place.wrapping_add(self.group().0).checked_rem(count).unwrap_or(0)
    }

    /// As a sleeping replica, before it answers a request for votes: whether its leader still leads, so that nobody needs one.
    pub(crate) async fn leader_objects(self: &Arc<Self>, candidate: ReplicaId) -> bool {
        if !self.sleep().is_asleep() {
            return false;
        }
        if self.leads() {
            // Confirmed, its lease speaks for it.
            self.awaken_leader().await;
            return false;
        }
        self.leader() != Some(candidate) && self.leader_confirms().await
    }
}
