//! The registry's group as its services use it, so that they can be tested over a state without consensus.

use std::time::Duration;

use holdfast_consensus::{Applied, Group, ProposeError, ReadError, WaitError};
use holdfast_domain::Reason;
use holdfast_sys_core::Refusal;

/// How long a voter may lag behind a command that it forwarded to the leader.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Orders commands.
#[tonic::async_trait]
pub trait Log: Send + Sync {
    /// Commits a command through the leader, wherever it is.
    ///
    /// # Errors
    /// See [`ProposeError`].
    async fn propose(&self, command: Vec<u8>) -> Result<Applied, ProposeError>;

    /// Makes the following reads of the local state linearizable.
    ///
    /// # Errors
    /// See [`ReadError`].
    async fn read_index(&self) -> Result<(), ReadError>;

    /// Waits until an index is applied here.
    ///
    /// # Errors
    /// See [`WaitError`].
    async fn wait_applied(&self, index: u64) -> Result<(), WaitError>;
}

#[tonic::async_trait]
impl Log for Group {
    async fn propose(&self, command: Vec<u8>) -> Result<Applied, ProposeError> {
        Self::propose(self, command).await
    }

    async fn read_index(&self) -> Result<(), ReadError> {
        Self::read_index(self).await.map(|_| ())
    }

    async fn wait_applied(&self, index: u64) -> Result<(), WaitError> {
        Self::wait_applied(self, index, CATCH_UP).await
    }
}

pub(super) fn refuse_proposal(error: ProposeError) -> Refusal {
    let reason = match &error {
        ProposeError::TooLarge { .. } => Reason::Malformed,
        ProposeError::Overloaded { .. } => Reason::Overloaded,
        // Of an unknown fate too: commands of the registry are safe to ask for again.
        _ => Reason::NoQuorum,
    };
    Refusal::new(reason).because(error)
}

pub(super) fn refuse_read(error: ReadError) -> Refusal {
    Refusal::new(Reason::NoQuorum).because(error)
}

pub(super) fn refuse_wait(error: WaitError) -> Refusal {
    Refusal::new(Reason::NoQuorum).because(error)
}
