//! The batching proposer in front of a group: many commands an entry, few entries in flight.
//!
//! Commands that are submitted to the leader reach the log in the order of their submission. A command that is passed
//! on or tried again may be overtaken.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use holdfast_domain::ReplicaId;
use openraft::error::ClientWriteError;
use openraft::type_config::alias::{OneshotReceiverOf, WriteResponderOf};
use openraft::vote::RaftLeaderId as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::Applied;
use crate::codec::Blob;
use crate::limits;
use crate::net::CallError;
use crate::net::wire::{self, Proposed, Request, Response};
use crate::replica::Replica;
use crate::types::{Commands, LeaderId, Types};

/// How long the leader may take for a batch that was passed on: a machine that lost its power says nothing.
const FORWARD_PATIENCE: Duration = Duration::from_secs(3);

/// Why a command has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not accepted: nobody leads.
    NoLeader,
    /// Not accepted: somebody else leads.
    NotLeader(Option<ReplicaId>),
    /// Not accepted: the queue is full.
    Overloaded,
    /// May or may not be committed.
    Unknown,
    /// The replica stopped.
    Stopped,
}

/// Where a command may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the leader, whoever it is.
    Anywhere,
    /// Into this replica's log only: it was passed on already.
    Here,
    /// Into this replica's log in this term only.
    HereInTerm(u64),
}

/// A command on its way.
pub(crate) struct Proposal {
    pub(crate) command: Bytes,
    pub(crate) way: Way,
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<Applied, Fate>>,
}

/// Commands that go together.
struct Batch {
    way: Way,
    proposals: Vec<Proposal>,
}

impl Batch {
    fn commands(&self) -> Arc<[Bytes]> {
        self.proposals.iter().map(|proposal| proposal.command.clone()).collect()
    }

    fn fail(self, fate: Fate) {
        for proposal in self.proposals {
            let _ = proposal.reply.send(Err(fate));
        }
    }

    fn answer(self, index: u64, results: Vec<Vec<u8>>) {
        for (proposal, result) in self.proposals.into_iter().zip(results) {
            let _ = proposal.reply.send(Ok(Applied { index, result }));
        }
    }

    /// Gives up on proposals past their deadline.
    fn expire(&mut self, fate: Fate) {
        let now = Instant::now();
        let (late, waiting) =
            std::mem::take(&mut self.proposals).into_iter().partition(|p| p.deadline <= now);
        self.proposals = waiting;
        Self { way: self.way, proposals: late }.fail(fate);
    }
}

/// Runs until the queue's senders are gone or the replica stops.
pub(crate) async fn run(replica: Arc<Replica>, mut queue: mpsc::Receiver<Proposal>) {
    // Awaited here and not by tasks of their own: an answer goes from the library to whoever waits with one task in between.
    let mut flights = FuturesUnordered::new();
    let mut stopped = pin!(replica.stopped());
    let mut left_over = None;
    let mut latest = Instant::now();
    loop {
        // First the room, then the batch: what arrives while one is in flight goes together, unless that one is stuck.
        let overdue = latest + limits::PROPOSAL_PATIENCE;
        let is_late = Instant::now() >= overdue;
        let has_room = flights.is_empty() || (is_late && flights.len() < limits::MAX_PROPOSALS_IN_FLIGHT);
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(()) = flights.next() => {}
            batch = collect(&mut queue, &mut left_over), if has_room => {
                let Some(batch) = batch else { break };
                if !batch.proposals.is_empty() {
                    let started = start(&replica, &batch).await;
                    flights.push(end(&replica, batch, started));
                    latest = Instant::now();
                }
            }
            () = sleep_until(overdue), if !has_room && !is_late => {}
        }
    }
    queue.close();
    while let Some(proposal) = queue.recv().await {
        let _ = proposal.reply.send(Err(Fate::Stopped));
    }
    while flights.next().await.is_some() {}
}

async fn collect(queue: &mut mpsc::Receiver<Proposal>, left_over: &mut Option<Proposal>) -> Option<Batch> {
    let first = match left_over.take() {
        Some(proposal) => proposal,
        None => queue.recv().await?,
    };
    let way = first.way;
    let mut bytes = first.command.len();
    let mut proposals = vec![first];
    while proposals.len() < limits::MAX_BATCH_COMMANDS
        && let Ok(next) = queue.try_recv()
    {
        bytes = bytes.saturating_add(next.command.len());
        if next.way != way || bytes > limits::MAX_BATCH_BYTES {
            *left_over = Some(next);
            break;
        }
        proposals.push(next);
    }
    // Whoever stopped waiting before the command was sent gets the definite answer that nobody reads: it is not sent.
    proposals.retain(|proposal| !proposal.reply.is_closed());
    Some(Batch { way, proposals })
}

/// Hands a batch to the log, if this replica leads: in the order of the batches. `None` when it is for somebody else's.
async fn start(replica: &Arc<Replica>, batch: &Batch) -> Option<Option<Written>> {
    replica.rouse().await;
    let local = batch.way != Way::Anywhere || replica.leads();
    if local { Some(write(replica, batch).await) } else { None }
}

/// Sees a batch through.
async fn end(replica: &Arc<Replica>, batch: Batch, started: Option<Option<Written>>) {
    let unfinished = match started {
        Some(written) => finish(replica, batch, written).await,
        None => Some(batch),
    };
    if let Some(batch) = unfinished {
        settle(replica, batch).await;
    }
}

type Written = OneshotReceiverOf<Types, openraft::raft::ClientWriteResult<Types>>;

/// Hands a batch to the log. `None` when the replica has stopped.
async fn write(replica: &Replica, batch: &Batch) -> Option<Written> {
    let _entered = replica.enter()?;
    let (done, written) = WriteResponderOf::<Types>::new_pair();
    let request = replica.raft().write(Commands(batch.commands())).responder(done);
    let request = match batch.way {
        Way::HereInTerm(term) => request.with_leader(LeaderId::new(term, replica.id().0)),
        Way::Here | Way::Anywhere => request,
    };
    request.await.is_ok().then_some(written)
}

/// Answers a batch that was handed to the log, or returns it if it certainly did not get there.
async fn finish(replica: &Replica, batch: Batch, written: Option<Written>) -> Option<Batch> {
    let Some(written) = written else {
        batch.fail(Fate::Stopped);
        return None;
    };
    match written.await {
        Ok(Ok(response)) => batch.answer(response.log_id.index, response.data.0),
        Ok(Err(ClientWriteError::ForwardToLeader(_))) if batch.way == Way::Anywhere => return Some(batch),
        Ok(Err(ClientWriteError::ForwardToLeader(_))) => batch.fail(Fate::NotLeader(replica.leader())),
        // In the log, but on another leader's way now; or the replica stopped before it was applied.
        Ok(Err(_)) | Err(_) => batch.fail(Fate::Unknown),
    }
    None
}

/// Tries until the batch is in somebody's log or its deadline is over.
async fn settle(replica: &Arc<Replica>, mut batch: Batch) {
    let pause = Duration::from_millis(20);
    loop {
        batch.expire(Fate::NoLeader);
        let Some(deadline) = batch.proposals.iter().map(|proposal| proposal.deadline).max() else { return };
        if replica.has_stopped() {
            return batch.fail(Fate::Stopped);
        }
        match replica.leader() {
            Some(leader) if leader == replica.id() => {
                let written = write(replica, &batch).await;
                match finish(replica, batch, written).await {
                    Some(unfinished) => batch = unfinished,
                    None => return,
                }
            }
            Some(leader) => match forward(replica, leader, batch, deadline).await {
                Some(unfinished) => batch = unfinished,
                None => return,
            },
            None => {}
        }
        tokio::time::sleep(pause).await;
    }
}

/// Passes a batch on. Returns what was certainly not accepted.
async fn forward(replica: &Replica, leader: ReplicaId, batch: Batch, deadline: Instant) -> Option<Batch> {
    let commands = batch.commands();
    let request = Request::Propose(commands.iter().map(|command| Blob(command)).collect());
    let Ok(payload) = wire::encode(&request) else {
        batch.fail(Fate::Unknown);
        return None;
    };
    let patience = deadline.saturating_duration_since(Instant::now()).min(FORWARD_PATIENCE);
    let answer = match replica.peers().call(leader, payload, patience).await {
        Ok(answer) => answer,
        Err(CallError::NotSent | CallError::Refused(_)) => return Some(batch),
        Err(CallError::Lost | CallError::Timeout | CallError::Malformed) => {
            batch.fail(Fate::Unknown);
            return None;
        }
    };
    let answers = match wire::decode(&answer) {
        Ok(Response::Proposed(answers)) if answers.len() == batch.proposals.len() => answers,
        Ok(_) | Err(_) => {
            batch.fail(Fate::Unknown);
            return None;
        }
    };
    let mut refused = Batch { way: batch.way, proposals: Vec::new() };
    for (proposal, answer) in batch.proposals.into_iter().zip(answers) {
        let fate = match answer {
            Proposed::NotLeader => {
                refused.proposals.push(proposal);
                continue;
            }
            Proposed::Applied { index, result: Blob(result) } => {
                Ok(Applied { index, result: result.to_vec() })
            }
            Proposed::Overloaded => Err(Fate::Overloaded),
            Proposed::Unknown => Err(Fate::Unknown),
        };
        let _ = proposal.reply.send(fate);
    }
    (!refused.proposals.is_empty()).then_some(refused)
}
