//! Whether this replica's data is what its group agreed on.

use std::sync::OnceLock;

use holdfast_keys::random_array;
use holdfast_sys_core::errors::Refusal;

use super::ShardGroup;
use crate::machine::{Command, StateError};

/// What speaks against a replica's data, once something does.
#[derive(Default)]
pub(crate) struct Doubt(OnceLock<String>);

impl Doubt {
    /// Keeps the first cause.
    pub(crate) fn accuse(&self, cause: String) {
        drop(self.0.set(cause));
    }
}

impl ShardGroup {
    /// Why this replica's data is not to be believed, if that is so.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.0.get().map(String::as_str)
    }

    /// Lets all replicas note their digests at one place of the log, as the leader of others.
    pub(crate) async fn propose_comparison(&self) -> Result<(), Refusal> {
        if !self.leads() || self.raft().status().membership.voters.len() < 2 {
            return Ok(());
        }
        let mark = u64::from_be_bytes(random_array().map_err(StateError::from)?);
        self.propose(self.term()?, &Command::TakeDigests { mark }).await.map(drop)
    }
}
