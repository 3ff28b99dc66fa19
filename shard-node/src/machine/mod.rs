//! The replicated state of one group.

use std::sync::Arc;

use holdfast_consensus::StateMachine;
use holdfast_domain::{ClusterId, GroupId, KeyGeneration, Slot};
use holdfast_keys::Dmk;
use holdfast_store::Engine;

/// The group's own keys and what they are bound to.
pub struct GroupKeys {}

impl GroupKeys {
    /// With the group's DMK of one generation.
    pub fn new(cluster: ClusterId, group: GroupId, generation: KeyGeneration, dmk: Dmk) -> Self {
        todo!()
    }
}

/// Why a group's state cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {}

/// Counts for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateStats {
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub record_bytes: u64,
}

/// The state of one replica, shared by its machine (which writes) and its readers. The engine is the process's one.
pub struct GroupState {}

impl GroupState {
    /// Opens the state of a group, or an empty one. Blocks.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(engine: Arc<dyn Engine>, keys: GroupKeys) -> Result<Arc<Self>, StateError> {
        todo!()
    }

    /// The machine, for `Groups::start`. One at a time.
    pub fn machine(self: &Arc<Self>) -> Box<dyn StateMachine> {
        todo!()
    }

    /// Deletes everything of a group from the engine, after its replica was shut down. Blocks; can be repeated.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn destroy(engine: &dyn Engine, group: GroupId) -> Result<(), StateError> {
        todo!()
    }

    /// Counts. Blocks.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn stats(&self) -> Result<StateStats, StateError> {
        todo!()
    }

    /// Compares each slot's records with its digest. Blocks, reads everything.
    ///
    /// # Errors
    /// Names the slots that differ.
    pub fn verify_digests(&self) -> Result<Vec<Slot>, StateError> {
        todo!()
    }
}
