//! Reads: what must be applied here before the state answers as asked.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Group, ReadError, WaitError};
use crate::limits;

impl Group {
    /// Makes the reads that follow linearizable: asks the leader for its confirmed index and waits until that is applied here. Reads
    /// that wait share one round. Returns the index.
    ///
    /// # Errors
    /// See [`ReadError`]; waits [`limits::DEFAULT_PATIENCE`] at most.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let group = self.id();
        let deadline = Instant::now() + limits::DEFAULT_PATIENCE;
        let index = loop {
            let now = Instant::now();
            if self.0.has_stopped() {
                return Err(ReadError::Stopped { group });
            }
            match timeout(deadline.saturating_duration_since(now), self.0.read_index()).await {
                Ok(Some(index)) => break index,
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Err(_) => return Err(ReadError::NoLeader { group }),
            }
        };
        self.applied_before(index, deadline).await
    }

    /// As [`Group::read_index`], but a leader whose lease holds answers without a round. The lease trusts that no member's clock runs
    /// a quarter faster than another's; it ages out on its own when the group sleeps or loses its quorum.
    ///
    /// # Errors
    /// As [`Group::read_index`].
    pub async fn read_lease(&self) -> Result<u64, ReadError> {
        match self.0.leased_index().await {
            Some(index) => self.applied_before(index, Instant::now() + limits::DEFAULT_PATIENCE).await,
            None => self.read_index().await,
        }
    }

    /// For reads that may miss what was committed within the last `age`: answers at once, on any replica that has applied everything
    /// that was committed longer ago. Returns the applied index. Ages below three heartbeats seldom succeed.
    ///
    /// # Errors
    /// [`ReadError::Stale`], where [`Group::read_index`] still helps.
    pub fn fresh_within(&self, age: Duration) -> Result<u64, ReadError> {
        let group = self.id();
        if self.0.has_stopped() {
            return Err(ReadError::Stopped { group });
        }
        let applied = *self.0.applied().borrow();
        match (self.0.index_within(age), applied) {
            (Some(index), Some(applied)) if applied >= index => Ok(applied),
            _ => Err(ReadError::Stale { group, leader: self.0.leader() }),
        }
    }

    async fn applied_before(&self, index: u64, deadline: Instant) -> Result<u64, ReadError> {
        match self.wait_applied(index, deadline.saturating_duration_since(Instant::now())).await {
            Ok(()) => Ok(index),
            Err(WaitError::Timeout { group }) => Err(ReadError::Behind { group }),
            Err(WaitError::Stopped { group }) => Err(ReadError::Stopped { group }),
        }
    }
}
