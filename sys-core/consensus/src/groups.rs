//! The groups of one process.

use std::sync::Arc;

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_keys::LocalKey;

use crate::{Group, Options, PeerAuth, PeerConnector, PeerDirectory, StateMachine};

/// The log could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Placeholder.
    #[error("io")]
    Io(#[from] std::io::Error),
}

/// A replica could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Placeholder.
    #[error("io")]
    Io(#[from] std::io::Error),
}

/// Everything consensus in one process. Cheap to clone.
#[derive(Clone)]
pub struct Groups {}

impl Groups {
    /// Opens the log in `options.dir`, sealed under `key` (taken by value: nobody else needs it).
    pub async fn open(
        options: Options,
        key: LocalKey,
        connector: Arc<dyn PeerConnector>,
        directory: Arc<dyn PeerDirectory>,
    ) -> Result<Self, OpenError> {
        todo!()
    }

    /// Whether this process holds state of a replica (so that a wiped disk asks for a new replica id).
    pub fn stored(&self) -> Vec<(GroupId, ReplicaId)> {
        todo!()
    }

    /// Starts a replica, new or stored. A pristine replica waits for [`Group::bootstrap`] or for a leader's entries.
    pub async fn start(
        &self,
        group: GroupId,
        replica: ReplicaId,
        machine: Box<dyn StateMachine>,
    ) -> Result<Group, StartError> {
        todo!()
    }

    /// A running group.
    pub fn get(&self, group: GroupId) -> Option<Group> {
        todo!()
    }

    /// The running groups.
    pub fn running(&self) -> Vec<Group> {
        todo!()
    }

    /// Stops a group's replica and destroys its log and snapshots. Its replica id never comes back.
    pub async fn remove(&self, group: GroupId) -> Result<(), StartError> {
        todo!()
    }

    // /// The tonic service of the peer stream.
    // pub fn service(&self, auth: Arc<dyn PeerAuth>) -> RaftServer<RaftService>;

    /// Stops every group (leaders hand over first), syncs the machines, closes streams and the log.
    pub async fn shutdown(&self) {
        todo!()
    }
}
