//! The members of one group, as its replica here knows them: where they are, and what is told them beside entries.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant as _, RaftMetrics};
use tokio::sync::watch;

use super::link::{CallError, Link, Links, Route};
use super::wire::Note;
use crate::floors::Floors;
use crate::log::Witness;
use crate::types::Types;
use crate::{Floor, GroupStatus, Member, MembershipView, PeerDirectory, PeerId, PeerTarget};

/// The members of one group, as its replica here knows them.
pub(crate) struct Peers {
    group: GroupId,
    me: ReplicaId,
    status: watch::Receiver<GroupStatus>,
    directory: Arc<dyn PeerDirectory>,
    links: Arc<Links>,
    /// Keeps the links alive that the group uses.
    held: Mutex<BTreeMap<ReplicaId, Arc<Link>>>,
    /// The latest stamp of each follower, for [`crate::freshness`].
    stamps: Mutex<BTreeMap<ReplicaId, u64>>,
    /// The replica stops.
    stopping: AtomicBool,
    /// The library's, once it runs.
    metrics: OnceLock<Metrics>,
    floors: Arc<Floors>,
    log: Witness,
}

type Metrics = WatchReceiverOf<Types, RaftMetrics<Types>>;

impl Peers {
    pub(crate) fn new(
        group: GroupId,
        me: ReplicaId,
        status: watch::Receiver<GroupStatus>,
        directory: Arc<dyn PeerDirectory>,
        links: Arc<Links>,
        floors: Arc<Floors>,
        log: Witness,
    ) -> Self {
        Self {
            group,
            me,
            status,
            directory,
            links,
            held: Mutex::default(),
            stamps: Mutex::default(),
            stopping: AtomicBool::new(false),
            metrics: OnceLock::new(),
            floors,
            log,
        }
    }

    /// Follows the library, which was made with these peers.
    pub(crate) fn attach(&self, metrics: Metrics) {
        let _ = self.metrics.set(metrics);
    }

    /// From now on heartbeats go unanswered.
    pub(crate) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn are_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The replica that asks.
    pub(super) const fn me(&self) -> ReplicaId {
        self.me
    }

    /// The membership that counts.
    pub(super) fn membership(&self) -> Arc<MembershipView> {
        self.status.borrow().membership.clone()
    }

    pub(super) const fn route(&self, to: ReplicaId) -> Route {
        Route { group: self.group, from: self.me, to }
    }

    /// A member acknowledged this to the leader or candidate that asked.
    pub(super) fn acknowledged(&self, member: ReplicaId, floor: Floor) {
        self.floors.raise(member, floor);
    }

    /// What went beside entries to a member may not have arrived.
    pub(super) fn not_told(&self, member: ReplicaId) {
        self.floors.not_told(member);
    }

    /// What goes beside entries to a member.
    pub(super) fn note(&self, to: ReplicaId) -> Note {
        // The stamp first: the quorum's age must not be from before it.
        let echo = self.stamps.lock().unwrap_or_else(PoisonError::into_inner).get(&to).copied().unwrap_or(0);
        // The commit index of the same moment as the age, not of when the entries were put together.
        let standing = self.metrics.get().map(|metrics| {
            let metrics = metrics.borrow_watched();
            (quorum_age(&metrics, self.me), own_commit(&metrics, self.me))
        });
        let (age, commit) = standing.unwrap_or_default();
        let quorum_age_ms = age.and_then(|age| u32::try_from(age.as_millis()).ok()?.checked_add(1));
        self.floors.raise(self.me, self.log.held());
        Note { echo, quorum_age_ms, commit, floors: self.floors.news_for(to) }
    }

    pub(super) fn stamped(&self, from: ReplicaId, stamp: u64) {
        self.stamps.lock().unwrap_or_else(PoisonError::into_inner).insert(from, stamp);
    }

    /// A member by the replica's own membership, or by a newer signed descriptor.
    pub(crate) fn member(&self, replica: ReplicaId) -> Option<Member> {
        let known = self.status.borrow().membership.members.get(&replica).cloned();
        known.or_else(|| self.directory.member(self.group, replica))
    }

    /// As [`Self::member`], looked at where it is.
    pub(crate) fn with_member<T>(&self, replica: ReplicaId, look: impl FnOnce(Option<&Member>) -> T) -> T {
        let status = self.status.borrow();
        if let Some(member) = status.membership.members.get(&replica) {
            return look(Some(member));
        }
        drop(status);
        look(self.directory.member(self.group, replica).as_ref())
    }

    /// Sends a request to a member and waits for its answer.
    pub(crate) async fn call(
        &self,
        to: ReplicaId,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        let link = self.member(to).map(|member| self.link(to, &member)).ok_or(CallError::NotSent)?;
        link.call(self.route(to), payload, patience).await
    }

    /// The process that holds a member, and the link to it.
    pub(crate) fn path(&self, to: ReplicaId) -> Option<(PeerId, Arc<Link>)> {
        let member = self.member(to)?;
        Some((PeerId::of_member(self.group, member.node), self.link(to, &member)))
    }

    pub(super) fn link(&self, to: ReplicaId, member: &Member) -> Arc<Link> {
        let Member { node, address, pin } = member;
        let id = PeerId::of_member(self.group, *node);
        let link = self.links.to(&PeerTarget { id, address: address.clone(), pin: *pin });
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(to, link.clone());
        link
    }
}

/// Since a quorum last confirmed this replica's lead. `None` without a lead or a confirmation.
pub(crate) fn quorum_age(metrics: &RaftMetrics<Types>, me: ReplicaId) -> Option<Duration> {
    if !metrics.state.is_leader() {
        return None;
    }
    let mut voters = metrics.membership_config.voter_ids();
    if voters.next() == Some(me.0) && voters.next().is_none() {
        return Some(Duration::ZERO);
    }
    metrics.last_quorum_acked.map(|acked| acked.into_inner().elapsed())
}

/// What this replica committed in the term that it leads. What earlier leaders committed counts once it committed an entry of its own.
pub(crate) fn own_commit(metrics: &RaftMetrics<Types>, me: ReplicaId) -> Option<u64> {
    let committed = metrics.cluster_committed.filter(|_| metrics.state.is_leader())?;
    let by = committed.leader_id;
    (by.node_id == me.0 && by.term == metrics.current_term).then_some(committed.index)
}
