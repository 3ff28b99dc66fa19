//! The life of replicas on this node: what the signed map says, made so.
//!
//! [`plan`] says what is next, the rest does it. Every step can be repeated after a crash at any point, and a step that fails is simply tried
//! again, later each time.

mod chunks;
mod digests;
mod facts;
mod faults;
mod floors;
mod heartbeat;
mod neighbours;
pub mod plan;
mod reconcile;
mod replica;
mod report;
mod rotate;
mod steps;
mod upkeep;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_consensus::{Groups, MembershipError, StartError, WaitError};
use holdfast_domain::{GroupDescriptor, GroupId, NodeId, ReplicaDescriptor, ReplicaId};
use holdfast_enrol::{registries::CallError, watch::View};
use holdfast_store::Engine;
use holdfast_sys_core::{Refusal, clock::Clock};
use tokio::sync::watch;

use crate::{
    checkpoint::{CheckpointError, Checkpoints},
    custody::{CustodyError, Keeper},
    machine::StateError,
    partition::HostedGroups,
};

pub use chunks::keep_whole;
pub(crate) use chunks::read as read_chunk;
pub use digests::keep_comparing;
pub use heartbeat::keep_telling;
pub use neighbours::Neighbours;
pub use reconcile::reconcile;
pub(crate) use report::report;

/// Everything that replicas of this node are made of.
pub struct Runtime {
    /// Member and registry.
    pub keeper: Keeper,
    /// Whether the disk is this machine's newest.
    pub checkpoints: Checkpoints,
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
    /// The other nodes.
    pub neighbours: Arc<Neighbours>,
    /// The clock.
    pub clock: Clock,
    /// What was learned on the way and need not outlive the process.
    pub memory: Mutex<Memory>,
}

/// What was learned on the way and need not outlive the process.
#[derive(Default)]
pub struct Memory {
    put_off: BTreeMap<(GroupId, ReplicaId), facts::PutOff>,
    upkeep: BTreeMap<GroupId, upkeep::Done>,
    faults: BTreeMap<(GroupId, ReplicaId), String>,
    failures: BTreeMap<(GroupId, ReplicaId), u32>,
}

/// Why a step did not succeed. It will be tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Keys.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// The TPM's counter of checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
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
    /// The map does not show what the step speaks of.
    #[error("the shard map does not show {0}")]
    NotInMap(&'static str),
    /// The machine of a replica was banned.
    #[error("node {0} is banned")]
    Banned(NodeId),
    /// Replicas that take part lack a key.
    #[error("key generation {generation} of group {group} is not with enough replicas yet")]
    KeyNotSpread {
        /// Which group.
        group: GroupId,
        /// Which generation.
        generation: holdfast_domain::KeyGeneration,
    },
    /// A newcomer waits for the end of a rotation.
    #[error("the key of group {0} is being replaced; a newcomer comes after that")]
    KeysInMotion(GroupId),
    /// The disk holds an earlier replica of the group, which is deleted first.
    #[error("the disk still holds an earlier replica of group {0}")]
    FormerReplica(GroupId),
    /// The replica stopped by itself.
    #[error("the replica of group {0} stopped by itself")]
    Stopped(GroupId),
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

    /// A replica of it.
    fn listed(&self, group: GroupId, replica: ReplicaId) -> Result<ReplicaDescriptor, StepError> {
        let descriptor = self.descriptor(group)?;
        descriptor.replica(replica).cloned().ok_or(StepError::NotInMap("the replica"))
    }

    /// This node.
    fn node(&self) -> NodeId {
        self.keeper.member.settings().node
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
