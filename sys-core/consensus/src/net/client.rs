//! What a replica asks of its peers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, Stream};
use holdfast_domain::ReplicaId;
use openraft::OptionalSend;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::appends;
use super::link::{CallError, Link};
use super::peers::Peers;
use super::transfer;
use super::wire::{self, Append, Ballot, Request, Response};
use crate::snapshot::SnapshotFile;
use crate::types::{Types, Vote};
use crate::{Floor, Member, MembershipView};

/// Patience for the answer to entries, the follower's sync included.
const APPEND_PATIENCE: Duration = Duration::from_secs(2);

type Rpc<T> = Result<T, RPCError<Types>>;
type Snapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

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
        let membership = peers.membership();
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
        let payload = self.link().call(self.peers.route(self.to), payload, patience).await?;
        wire::decode(&payload).ok().and_then(answer).ok_or(CallError::Malformed)
    }

    pub(super) fn failed(&self, action: RPCTypes, patience: Duration, error: CallError) -> RPCError<Types> {
        match error {
            CallError::Timeout => RPCError::Timeout(Timeout {
                action,
                id: self.peers.me().0,
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
        self.peers.acknowledged(self.to, Floor { term: vote.leader_id.term, index });
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
                self.peers.not_told(self.to);
                self.failed(RPCTypes::AppendEntries, patience, error)
            })?;
        self.peers.stamped(self.to, stamp);
        if rpc.entries.is_empty() && self.peers.are_stopping() {
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
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
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
