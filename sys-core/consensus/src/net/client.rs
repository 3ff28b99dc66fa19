//! What a replica asks of its peers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream};
use holdfast_domain::{GroupId, ReplicaId};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::WatchReceiverOf;
use openraft::{Instant as _, OptionalSend, RaftMetrics};
use tokio::sync::watch;

use super::appends;
use super::link::{CallError, Link, Links, Route};
use super::transfer;
use super::wire::{self, Append, Ballot, Note, Request, Response};
use crate::floors::Floors;
use crate::log::Witness;
use crate::snapshot::SnapshotFile;
use crate::types::{Types, Vote};
use crate::{Floor, GroupStatus, Member, MembershipView, PeerDirectory, PeerId, PeerTarget};

/// Patience for the answer to entries, the follower's sync included.
const APPEND_PATIENCE: Duration = Duration::from_secs(2);

type Rpc<T> = Result<T, RPCError<Types>>;
type Snapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

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

    /// What goes beside entries to a member.
    fn note(&self, to: ReplicaId) -> Note {
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

    fn stamped(&self, from: ReplicaId, stamp: u64) {
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
        link.call(Route { group: self.group, from: self.me, to }, payload, patience).await
    }

    /// The process that holds a member, and the link to it.
    pub(crate) fn path(&self, to: ReplicaId) -> Option<(PeerId, Arc<Link>)> {
        let member = self.member(to)?;
        Some((PeerId::of_member(self.group, member.node), self.link(to, &member)))
    }

    fn link(&self, to: ReplicaId, member: &Member) -> Arc<Link> {
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

/// Whether a member installed a snapshot under the vote that it was sent under: one that knows a later leader took nothing.
fn has_installed(answer: &SnapshotResponse<Types>, vote: Vote) -> bool {
    answer.vote == vote
}

/// Makes a [`PeerCall`] for each member.
pub(crate) struct Network(pub(crate) Arc<Peers>);

impl RaftNetworkFactory<Types> for Network {
    type Network = PeerCall;

    async fn new_client(&mut self, target: u64, node: &Member) -> PeerCall {
        PeerCall {
            peers: self.0.clone(),
            to: ReplicaId(target),
            member: node.clone(),
            known: Mutex::default(),
        }
    }
}

/// Requests to one member.
pub(crate) struct PeerCall {
    peers: Arc<Peers>,
    to: ReplicaId,
    /// Where it was when the library asked; the current membership is preferred.
    member: Member,
    /// The link by the membership of that time.
    known: Mutex<Option<(Arc<MembershipView>, Arc<Link>)>>,
}

impl PeerCall {
    fn link(&self) -> Arc<Link> {
        let Self { peers, to, member, known } = self;
        let membership = peers.status.borrow().membership.clone();
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((by, link)) = &*known
            && Arc::ptr_eq(by, &membership)
        {
            return link.clone();
        }
        let named = peers.member(*to);
        let link = peers.link(*to, named.as_ref().unwrap_or(member));
        // Whom the membership does not list is where the newest descriptor says, which may change any time.
        *known = membership.members.contains_key(to).then(|| (membership, link.clone()));
        link
    }

    /// Sends a request; `answer` picks what is expected out of the response.
    pub(super) async fn ask<T>(
        &self,
        request: &Request<'_>,
        patience: Duration,
        answer: impl FnOnce(Response<'_>) -> Option<T>,
    ) -> Result<T, CallError> {
        // The request is ours: one that cannot be encoded is larger than any frame.
        let room = match request {
            Request::Append(append) => append.room(),
            _ => 0,
        };
        let payload = wire::encode_about(request, room).map_err(|_| CallError::NotSent)?;
        let Self { peers, to, .. } = self;
        let route = Route { group: peers.group, from: peers.me, to: *to };
        let payload = self.link().call(route, payload, patience).await?;
        wire::decode(&payload).ok().and_then(answer).ok_or(CallError::Malformed)
    }

    pub(super) fn failed(&self, action: RPCTypes, patience: Duration, error: CallError) -> RPCError<Types> {
        match error {
            CallError::Timeout => RPCError::Timeout(Timeout {
                action,
                id: self.peers.me.0,
                target: self.to.0,
                timeout: patience,
            }),
            CallError::NotSent | CallError::Lost | CallError::Refused(_) => {
                RPCError::Unreachable(Unreachable::new(&error))
            }
            CallError::Malformed => RPCError::Network(NetworkError::new(&error)),
        }
    }

    /// The member acknowledged this to the leader or candidate that asked.
    fn acknowledged(&self, vote: Vote, index: u64) {
        self.peers.floors.raise(self.to, Floor { term: vote.leader_id.term, index });
    }

    /// Sends entries, or a heartbeat.
    pub(super) async fn append(&self, rpc: AppendEntriesRequest<Types>) -> Rpc<AppendEntriesResponse<Types>> {
        // The library's own limit is one heartbeat: a stall of the follower's disk must not have entries sent twice.
        // Heartbeats are cut off by the library.
        let patience = APPEND_PATIENCE;
        let last = rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id);
        let answer = |response: Response<'_>| match response {
            Response::Append { appended, stamp } => {
                appended.into_response(&rpc.vote, rpc.prev_log_id, last).map(|response| (response, stamp))
            }
            _ => None,
        };
        let note = self.peers.note(self.to);
        let (response, stamp) =
            self.ask(&Request::Append(Append::new(&rpc, note)), patience, answer).await.map_err(|error| {
                self.peers.floors.not_told(self.to);
                self.failed(RPCTypes::AppendEntries, patience, error)
            })?;
        self.peers.stamped(self.to, stamp);
        if rpc.entries.is_empty() && self.peers.stopping.load(Ordering::Relaxed) {
            // The library would find the replica gone and call that an error. It gives up on a heartbeat before this ends.
            tokio::time::sleep(APPEND_PATIENCE).await;
        }
        let acknowledged = match &response {
            AppendEntriesResponse::Success => last,
            AppendEntriesResponse::PartialSuccess(upto) => *upto,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => None,
        };
        if let Some(id) = acknowledged {
            self.acknowledged(rpc.vote, id.index);
        }
        Ok(response)
    }

    async fn ballot(&self, request: &Request<'_>, option: &RPCOption) -> Rpc<VoteResponse<Types>> {
        let patience = option.soft_ttl();
        let answer = |response: Response<'_>| match response {
            Response::Vote { vote, granted, last } => Some(VoteResponse {
                vote: vote.into(),
                vote_granted: granted,
                last_log_id: last.map(Into::into),
            }),
            _ => None,
        };
        self.ask(request, patience, answer)
            .await
            .map_err(|error| self.failed(RPCTypes::Vote, patience, error))
    }
}

impl RaftNetworkV2<Types> for PeerCall {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<Types>> {
        self.append(rpc).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        std::future::ready(Ok(appends::send(self, input))).boxed()
    }

    async fn vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        let answer = self.ballot(&Request::Vote(Ballot::from(&rpc)), &option).await?;
        if answer.vote_granted {
            self.acknowledged(rpc.vote, 0);
        }
        Ok(answer)
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<Types>, option: RPCOption) -> Rpc<VoteResponse<Types>> {
        self.ballot(&Request::PreVote(Ballot::from(&rpc)), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let last = snapshot.meta.last_log_id;
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = transfer::send(self, vote, snapshot) => {
                if sent.as_ref().is_ok_and(|answer| has_installed(answer, vote)) && let Some(last) = last {
                    self.acknowledged(vote, last.index);
                }
                sent
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<Types>> {
        let patience = option.soft_ttl();
        let request = Request::TransferLeader {
            vote: (*req.from_leader()).into(),
            to: *req.to_node_id(),
            last: req.last_log_id().copied().map(Into::into),
        };
        let answer = |response: Response<'_>| match response {
            Response::TransferLeader { accepted } => Some(accepted),
            _ => None,
        };
        let accepted = self
            .ask(&request, patience, answer)
            .await
            .map_err(|error| self.failed(RPCTypes::TransferLeader, patience, error))?;
        if accepted {
            Ok(Ok(()))
        } else {
            let error = CallError::Refused("handover".into());
            Err(self.failed(RPCTypes::TransferLeader, patience, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_a_snapshot_with_a_later_vote_acknowledged_nothing() {
        let vote = Vote::new_committed(3, 1);
        assert!(has_installed(&SnapshotResponse::new(vote), vote));
        for other in [Vote::new(3, 1), Vote::new(4, 2), Vote::new_committed(4, 2)] {
            assert!(!has_installed(&SnapshotResponse::new(other), vote), "{other}");
        }
    }
}
