//! One replica of one group.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_domain::{GroupId, ReplicaId};
use tokio::sync::watch;

use crate::{GroupStatus, Member};

/// A command that was committed and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Index of its log entry: what `min_index` reads wait for.
    pub index: u64,
    /// What the state machine answered.
    pub result: Vec<u8>,
}

/// A proposal without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// It was certainly not accepted: no leader was found in time.
    #[error("group {group} has no leader that this replica can reach")]
    NoLeader {
        /// Which group.
        group: GroupId,
    },
    /// It was certainly not accepted: this replica does not lead.
    #[error("this replica of group {group} does not lead")]
    NotLeader {
        /// Which group.
        group: GroupId,
        /// Who does, as far as known.
        leader: Option<ReplicaId>,
    },
    /// It was certainly not accepted: longer than [`crate::limits::MAX_COMMAND_BYTES`].
    #[error("a command of {len} bytes exceeds the limit")]
    TooLarge {
        /// Its length.
        len: usize,
    },
    /// It was certainly not accepted: too many proposals are waiting.
    #[error("too many proposals are waiting for group {group}")]
    Overloaded {
        /// Which group.
        group: GroupId,
    },
    /// It may or may not be committed, now or later: ask again under the same command id.
    #[error("the fate of a proposal to group {group} is unknown")]
    Unknown {
        /// Which group.
        group: GroupId,
    },
    /// The replica stopped.
    #[error("the replica of group {group} has stopped")]
    Stopped {
        /// Which group.
        group: GroupId,
    },
}

/// A linearizable read that cannot be made now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader confirmed its lead in time.
    #[error("group {group} has no leader that this replica can reach")]
    NoLeader {
        /// Which group.
        group: GroupId,
    },
    /// This replica is too far behind.
    #[error("this replica of group {group} did not catch up in time")]
    Behind {
        /// Which group.
        group: GroupId,
    },
    /// The replica stopped.
    #[error("the replica of group {group} has stopped")]
    Stopped {
        /// Which group.
        group: GroupId,
    },
}

/// A change of membership that was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Only the leader changes the membership.
    #[error("this replica of group {group} does not lead")]
    NotLeader {
        /// Which group.
        group: GroupId,
        /// Who does, as far as known.
        leader: Option<ReplicaId>,
    },
    /// The change makes no sense, or another one is under way.
    #[error("membership of group {group} not changed: {reason}")]
    Refused {
        /// Which group.
        group: GroupId,
        /// What is wrong.
        reason: String,
    },
    /// It may or may not be made.
    #[error("the fate of a membership change of group {group} is unknown")]
    Unknown {
        /// Which group.
        group: GroupId,
    },
    /// The replica stopped.
    #[error("the replica of group {group} has stopped")]
    Stopped {
        /// Which group.
        group: GroupId,
    },
}

/// A wait that ended without what was waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// Not in time.
    #[error("group {group}: waited too long")]
    Timeout {
        /// Which group.
        group: GroupId,
    },
    /// The replica stopped.
    #[error("the replica of group {group} has stopped")]
    Stopped {
        /// Which group.
        group: GroupId,
    },
}

/// A running replica. Cheap to clone; stops with [`Group::shutdown`] only.
#[derive(Clone)]
pub struct Group {}

impl Group {
    /// The group.
    pub fn id(&self) -> GroupId {
        todo!()
    }

    /// This replica.
    pub fn replica(&self) -> ReplicaId {
        todo!()
    }

    /// Starts a new group with these voters. Does nothing on a replica that already has a membership.
    pub async fn bootstrap(&self, members: BTreeMap<ReplicaId, Member>) -> Result<(), MembershipError> {
        todo!()
    }

    /// Commits a command, through the leader, wherever it is. Waits [`crate::limits::DEFAULT_PATIENCE`] at most.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Applied, ProposeError> {
        todo!()
    }

    /// Commits a command only if this replica leads in `term`: for commands that were prepared against its state.
    pub async fn propose_in_term(&self, term: u64, command: Vec<u8>) -> Result<Applied, ProposeError> {
        todo!()
    }

    /// Makes the following reads of this replica's state linearizable: asks the leader for its confirmed index and
    /// waits until it is applied here. Returns the index.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        todo!()
    }

    /// Waits until an index is applied here.
    pub async fn wait_applied(&self, index: u64, patience: Duration) -> Result<(), WaitError> {
        todo!()
    }

    /// Waits until this replica knows a leader.
    pub async fn wait_leader(&self, patience: Duration) -> Result<ReplicaId, WaitError> {
        todo!()
    }

    /// Waits until this replica leads and has applied an entry of its own term; returns the term.
    pub async fn wait_leading(&self, patience: Duration) -> Result<u64, WaitError> {
        todo!()
    }

    /// The term in which this replica leads with every earlier entry applied, or `None`.
    pub fn leading_term(&self) -> Option<u64> {
        todo!()
    }

    /// Adds a replica without a vote and waits until it has caught up. On the leader only, like every change below.
    pub async fn add_learner(&self, replica: ReplicaId, member: Member) -> Result<(), MembershipError> {
        todo!()
    }

    /// Gives learners a vote.
    pub async fn promote(&self, replicas: BTreeSet<ReplicaId>) -> Result<(), MembershipError> {
        todo!()
    }

    /// Sets the voters to exactly these (all must be members); others leave the group for ever.
    pub async fn change_membership(&self, voters: BTreeSet<ReplicaId>) -> Result<(), MembershipError> {
        todo!()
    }

    /// Removes replicas, voters or learners, for ever.
    pub async fn remove(&self, replicas: BTreeSet<ReplicaId>) -> Result<(), MembershipError> {
        todo!()
    }

    /// Updates what the membership says of replicas (address, pinned key).
    pub async fn update_members(&self, members: BTreeMap<ReplicaId, Member>) -> Result<(), MembershipError> {
        todo!()
    }

    /// Hands the lead to a voter and waits until somebody else leads.
    pub async fn transfer_leader(&self, to: ReplicaId, patience: Duration) -> Result<(), WaitError> {
        todo!()
    }

    /// Makes a snapshot and purges the log behind it now.
    pub async fn snapshot_now(&self, patience: Duration) -> Result<(), WaitError> {
        todo!()
    }

    /// The latest status.
    pub fn status(&self) -> GroupStatus {
        todo!()
    }

    /// Follows the status: leader, term, applied index, membership.
    pub fn watch(&self) -> watch::Receiver<GroupStatus> {
        todo!()
    }

    /// Stops the replica and syncs its machine. Its files stay.
    pub async fn shutdown(&self) {
        todo!()
    }
}
