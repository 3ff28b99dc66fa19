//! Why a replica does not start.

use holdfast_domain::{GroupId, ReplicaId};

/// A replica could not be started or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A replica of the group runs here.
    #[error("group {group} runs here already")]
    Running {
        /// Which group.
        group: GroupId,
    },
    /// The disk holds another replica of the group, which must be removed first: replica ids never come back.
    #[error("the log holds replica {stored} of group {group}, not {wanted}")]
    OtherReplica {
        /// Which group.
        group: GroupId,
        /// Whose log it is.
        stored: ReplicaId,
        /// Who was to start.
        wanted: ReplicaId,
    },
    /// Its log is damaged: this replica must not vote again.
    #[error("the log of group {group} is damaged ({detail}): replace this replica, do not reuse its id")]
    Damaged {
        /// Which group.
        group: GroupId,
        /// What was found.
        detail: String,
    },
    /// The state machine or the snapshot cannot be read, or they contradict the log.
    #[error("the state of group {group} cannot be used")]
    State {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The process shuts down.
    #[error("the process shuts down")]
    Closed,
}
