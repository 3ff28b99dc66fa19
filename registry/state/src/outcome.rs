//! What became of a command: the same on every voter.

use holdfast_domain::{
    GroupId, MapEpoch, NodeId, PendingId, Reason, ReplicaId,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};

/// Largest encoded outcome.
const MAX_OUTCOME: usize = 64 * 1024;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The state changed as asked, or already was as asked.
    Applied(Applied),
    /// Nothing changed.
    Refused(Reason),
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// Nothing to add.
    Done,
    /// A machine is a member.
    Joined {
        /// The machine.
        node: NodeId,
        /// Role registry: the Raft id to take, fresh for this incarnation.
        replica: Option<ReplicaId>,
    },
    /// A join waits under this id.
    Pending(PendingId),
    /// A new map is in force.
    Map {
        /// Its epoch.
        epoch: MapEpoch,
        /// Groups that the change touched.
        groups: Vec<GroupId>,
    },
}

impl Outcome {
    /// The bytes that consensus carries back to the proposer.
    ///
    /// # Errors
    /// Only when a value cannot be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }

    /// Reads an outcome.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_OUTCOME)
    }

    /// What changed, or why nothing did.
    ///
    /// # Errors
    /// The refusal.
    pub fn into_result(self) -> Result<Applied, Reason> {
        match self {
            Self::Applied(applied) => Ok(applied),
            Self::Refused(reason) => Err(reason),
        }
    }
}

impl From<Result<Applied, Reason>> for Outcome {
    fn from(result: Result<Applied, Reason>) -> Self {
        result.map_or_else(Self::Refused, Self::Applied)
    }
}
