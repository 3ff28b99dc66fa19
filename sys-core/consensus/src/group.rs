//! One replica of one group.

mod errors;
mod membership;
mod reads;

use std::sync::Arc;
use std::time::Duration;

use holdfast_domain::{GroupId, NodeId, ReplicaId};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::propose::{Fate, Way};
use crate::replica::Replica;
use crate::{Floor, GroupStatus, Role, limits};

pub use errors::{MembershipError, ProposeError, ReadError, WaitError};

/// A command that was committed and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Index of its log entry: what `min_index` reads wait for.
    pub index: u64,
    /// What the state machine answered.
    pub result: Vec<u8>,
}

/// Who leads a group, as far as a replica knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The replica.
    pub replica: ReplicaId,
    /// Its node, if the membership or a descriptor names it.
    pub node: Option<NodeId>,
}

/// A command that was submitted and not yet answered.
#[must_use = "a submitted command is answered here"]
pub struct Pending {
    group: GroupId,
    answer: Submitted,
}

type Submitted = tokio::sync::oneshot::Receiver<Result<Applied, Fate>>;

impl Pending {
    /// Waits for the command's result, [`limits::DEFAULT_PATIENCE`] at most.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn applied(self) -> Result<Applied, ProposeError> {
        let Self { group, answer } = self;
        // A little longer than the proposer tries, so that its definite answer arrives.
        match timeout(limits::DEFAULT_PATIENCE + Duration::from_secs(1), answer).await {
            Ok(Ok(Ok(applied))) => Ok(applied),
            Ok(Ok(Err(fate))) => Err(ProposeError::of(group, fate)),
            Ok(Err(_)) | Err(_) => Err(ProposeError::Unknown { group }),
        }
    }
}

/// A running replica. Cheap to clone; stops with [`Group::shutdown`] only.
#[derive(Clone)]
pub struct Group(Arc<Replica>);

impl Group {
    pub(crate) fn new(replica: Arc<Replica>) -> Self {
        Self(replica)
    }

    /// The group.
    pub fn id(&self) -> GroupId {
        self.0.group()
    }

    /// This replica.
    pub fn replica(&self) -> ReplicaId {
        self.0.id()
    }

    /// Who leads, as far as this replica knows: the hint for whoever asked the wrong one.
    pub fn leader(&self) -> Option<Leader> {
        let replica = self.0.leader()?;
        Some(Leader { replica, node: self.0.member(replica).map(|member| member.node) })
    }

    /// The highest position that this replica acknowledged, as it is on its disk: what the registry keeps for groups of one.
    pub fn acknowledged(&self) -> Option<Floor> {
        self.0.acknowledged()
    }

    /// Commits a command through the leader, wherever it is. Waits [`limits::DEFAULT_PATIENCE`] at most.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose(&self, command: Vec<u8>) -> Result<Applied, ProposeError> {
        self.submit_way(command, Way::Anywhere)?.applied().await
    }

    /// Commits a command only if this replica leads in `term`: for commands that were prepared against its state.
    ///
    /// # Errors
    /// See [`ProposeError`].
    pub async fn propose_in_term(&self, term: u64, command: Vec<u8>) -> Result<Applied, ProposeError> {
        self.submit_in_term(term, command)?.applied().await
    }

    /// As [`Group::propose_in_term`], without waiting: commands reach the log in the order of these calls.
    ///
    /// # Errors
    /// Those that are known at once.
    pub fn submit_in_term(&self, term: u64, command: Vec<u8>) -> Result<Pending, ProposeError> {
        self.submit_way(command, Way::HereInTerm(term))
    }

    fn submit_way(&self, command: Vec<u8>, way: Way) -> Result<Pending, ProposeError> {
        let group = self.id();
        if command.len() > limits::MAX_COMMAND_BYTES {
            return Err(ProposeError::TooLarge { len: command.len() });
        }
        let answer = self
            .0
            .submit(command.into(), way, limits::DEFAULT_PATIENCE)
            .map_err(|fate| ProposeError::of(group, fate))?;
        Ok(Pending { group, answer })
    }

    /// Waits until an index is applied here.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn wait_applied(&self, index: u64, patience: Duration) -> Result<(), WaitError> {
        let group = self.id();
        let mut applied = self.0.applied();
        match timeout(patience, applied.wait_for(|applied| *applied >= Some(index))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(WaitError::Stopped { group }),
            Err(_) => Err(WaitError::Timeout { group }),
        }
    }

    /// Waits until this replica knows a leader.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn wait_leader(&self, patience: Duration) -> Result<ReplicaId, WaitError> {
        self.wait_for(patience, |status| status.leader).await
    }

    /// Waits until this replica leads and has applied an entry of its own term; returns the term.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn wait_leading(&self, patience: Duration) -> Result<u64, WaitError> {
        self.wait_for(patience, |_| self.leading_term()).await
    }

    /// Waits until a member's log is at most `lag` entries behind this leader's.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn wait_caught_up(
        &self,
        replica: ReplicaId,
        lag: u64,
        patience: Duration,
    ) -> Result<(), WaitError> {
        self.wait_for(patience, |status| {
            let matched = status.matched.get(&replica).copied().flatten()?;
            (matched.saturating_add(lag) >= status.last_log?).then_some(())
        })
        .await
    }

    /// Waits until the status says something; the way out when the replica stops.
    async fn wait_for<T>(
        &self,
        patience: Duration,
        mut said: impl FnMut(&GroupStatus) -> Option<T>,
    ) -> Result<T, WaitError> {
        let group = self.id();
        let mut status = self.watch();
        let wait = async {
            loop {
                // A copy: `said` may look at other watched values, whose writers wait for this one.
                let now = status.borrow_and_update().clone();
                if now.role == Role::Stopped {
                    return Err(WaitError::Stopped { group });
                }
                if let Some(said) = said(&now) {
                    return Ok(said);
                }
                if status.changed().await.is_err() {
                    return Err(WaitError::Stopped { group });
                }
            }
        };
        timeout(patience, wait).await.unwrap_or(Err(WaitError::Timeout { group }))
    }

    /// The term in which this replica leads with every earlier entry applied, or `None`.
    pub fn leading_term(&self) -> Option<u64> {
        self.0.leading_term()
    }

    /// Hands the lead to a voter and waits until this replica follows it.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn transfer_leader(&self, to: ReplicaId, patience: Duration) -> Result<(), WaitError> {
        let stopped = |_| WaitError::Stopped { group: self.id() };
        self.0.rouse().await;
        // A leader that hands over to who does not take it leads nobody until others campaign.
        if self.0.leads() && !self.0.could_lead(to).await {
            return Err(WaitError::Timeout { group: self.id() });
        }
        self.0.raft().trigger().transfer_leader(to.0).await.map_err(stopped)?;
        self.wait_for(patience, |status| (status.leader == Some(to)).then_some(())).await
    }

    /// Hands the lead to the most advanced voter that answers, if this replica leads and there is one. Best effort, for a quiet stop.
    pub async fn step_aside(&self, patience: Duration) {
        if !self.0.leads() {
            return;
        }
        self.0.rouse().await;
        if let Some(to) = self.0.successors().first()
            && let Err(error) = self.transfer_leader(*to, patience).await
        {
            tracing::info!(group = %self.id(), %to, %error, "lead_not_handed_over");
        }
    }

    /// Campaigns now, without waiting for silence.
    pub(crate) async fn elect(&self) {
        if self.0.raft().trigger().elect(false).await.is_err() {
            tracing::warn!(group = %self.id(), "replica_stopped_before_its_election");
        }
    }

    /// Makes a snapshot of what is applied now and purges the log behind it, except for what is kept.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn snapshot_now(&self, patience: Duration) -> Result<(), WaitError> {
        let group = self.id();
        let Some(applied) = *self.0.applied().borrow() else { return Ok(()) };
        self.0.raft().trigger().snapshot().await.map_err(|_| WaitError::Stopped { group })?;
        self.wait_for(patience, |status| (status.snapshot >= Some(applied)).then_some(())).await
    }

    /// Purges the whole log behind the last snapshot, what is kept for late followers too: nobody is to replay it any more.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn purge_now(&self, patience: Duration) -> Result<(), WaitError> {
        let group = self.id();
        let Some(snapshot) = self.status().snapshot else { return Ok(()) };
        self.0.raft().trigger().purge_log(snapshot).await.map_err(|_| WaitError::Stopped { group })?;
        self.wait_for(patience, |status| (status.purged >= Some(snapshot)).then_some(())).await
    }

    /// The latest status.
    pub fn status(&self) -> GroupStatus {
        self.0.status().borrow().clone()
    }

    /// Follows the status: leader, term, applied index, membership.
    pub fn watch(&self) -> watch::Receiver<GroupStatus> {
        self.0.status().clone()
    }

    /// Stops the replica and syncs its machine. Its files stay.
    pub async fn shutdown(&self) {
        self.0.shut_down().await;
    }
}
