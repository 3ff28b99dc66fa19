//! Why a replica did not do what it was asked.

use holdfast_domain::{GroupId, ReplicaId};

use crate::propose::Fate;

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
    /// This replica did not hear from the leader recently enough, or has not applied what it heard of.
    #[error("this replica of group {group} is staler than was asked for")]
    Stale {
        /// Which group.
        group: GroupId,
        /// Who leads, as far as known.
        leader: Option<ReplicaId>,
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

impl ProposeError {
    pub(super) fn of(group: GroupId, fate: Fate) -> Self {
        match fate {
            Fate::NoLeader => Self::NoLeader { group },
            Fate::NotLeader(leader) => Self::NotLeader { group, leader },
            Fate::Overloaded => Self::Overloaded { group },
            Fate::Unknown => Self::Unknown { group },
            Fate::Stopped => Self::Stopped { group },
        }
    }
}
