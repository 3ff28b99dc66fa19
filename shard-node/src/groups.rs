//! The life of replicas on this node: what the registry wants, made so.
//!
//! The registry's tasks are wishes that stay until the state says that they are fulfilled, so every step here can be repeated after
//! a crash at any point, and a step that fails is simply tried again.

mod hand_over;
pub mod plan;
mod reconcile;
mod replica;
mod report;
mod take_over;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, sync::Mutex};

use holdfast_certs::Dialer;
use holdfast_consensus::{Groups, MembershipError, StartError, WaitError};
use holdfast_domain::{GroupDescriptor, GroupId, NodeId, ReplicaDescriptor, ReplicaId};
use holdfast_enrol::{registries::CallError, watch::View};
use holdfast_store::Engine;
use holdfast_sys_core::{Refusal, clock::Clock};
use tokio::sync::watch;

use crate::{
    custody::{CustodyError, Keeper},
    machine::StateError,
    partition::{HostedGroups, ShardGroup},
};

pub use reconcile::reconcile;

/// Everything that replicas of this node are made of.
pub struct Runtime {
    /// Member and registry.
    pub keeper: Keeper,
    /// The process's consensus.
    pub consensus: Groups,
    /// The groups that are served.
    pub hosted: Arc<HostedGroups>,
    /// The process's engine.
    pub engine: Arc<dyn Engine>,
    /// Folder of chunk segments, one folder a replica.
    pub content: PathBuf,
    /// What the registry says.
    pub view: watch::Receiver<Arc<View>>,
    /// Dials other nodes.
    pub peers: Dialer,
    /// The clock.
    pub clock: Clock,
    /// Groups that were handed over and still give chunks to their new replica.
    pub retiring: Mutex<BTreeMap<GroupId, Arc<ShardGroup>>>,
}

/// Why a step did not succeed. It will be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Keys.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The replica did not start.
    #[error("the replica does not start")]
    Start(#[from] StartError),
    /// The group's state.
    #[error("the group's state")]
    State(#[from] StateError),
    /// Its segments.
    #[error("the group's segments")]
    Segments(#[from] holdfast_store::segments::SegmentError),
    /// A membership change.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// Waiting for a leader or an index.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The registry.
    #[error("the registry does not take part")]
    Registry(#[from] CallError),
    /// A read or write of the group.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Another node.
    #[error("node {0}")]
    Peer(NodeId, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The map does not show what the task speaks of yet.
    #[error("the shard map does not show {0} yet")]
    NotInMap(&'static str),
    /// Deleting a replica would lose data.
    #[error("replica {0} is not deleted: {1}")]
    StillNeeded(ReplicaId, &'static str),
    /// The newcomer of a move was banned, or the move was given up.
    #[error("group {0} is not to be handed over any more")]
    NotWanted(GroupId),
    /// A blocking step was interrupted.
    #[error("interrupted by the end of the process")]
    Interrupted,
}

impl Runtime {
    /// The group in the newest map.
    fn descriptor(&self, group: GroupId) -> Result<GroupDescriptor, StepError> {
        let view = self.view.borrow();
        let map = view.map.as_ref().ok_or(StepError::NotInMap("any group"))?;
        map.map.group(group).cloned().ok_or(StepError::NotInMap("the group"))
    }

    /// Our replica of it.
    fn own_replica(&self, descriptor: &GroupDescriptor) -> Result<ReplicaDescriptor, StepError> {
        let own = self.keeper.member.settings().node;
        let replica = descriptor.replicas.iter().find(|replica| replica.node == own);
        replica.cloned().ok_or(StepError::NotInMap("this node's replica"))
    }
}
