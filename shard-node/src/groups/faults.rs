//! Replicas that are not to be believed: rolled back, diverged, damaged. They answer no client, do not lead, and ask to be replaced.

use std::time::Duration;

use holdfast_consensus::{Role, StartError};
use holdfast_domain::{GroupDescriptor, GroupId, ReplicaId, ReplicaState};
use holdfast_proto::registry::v1::ReplicaReport;

use super::{Runtime, StepError, report::report};

/// How long a voter may take to lead instead.
const LEAD_PATIENCE: Duration = Duration::from_secs(5);

/// Starts of a replica that fails each time.
const MAX_FAILURES: u32 = 3;

impl Runtime {
    /// From now on the replica is not to be believed.
    pub(super) fn condemn(&self, group: GroupId, replica: ReplicaId, cause: &str) {
        self.hosted.quarantine(group);
        let known = self.memory().faults.insert((group, replica), cause.to_owned());
        if known.as_deref() != Some(cause) {
            tracing::error!(%group, %replica, cause, "this replica is not to be believed; it serves nobody and asks to be replaced");
        }
    }

    /// Why the replica is not to be believed, if that is so.
    pub(super) fn fault(&self, group: GroupId, replica: ReplicaId) -> Option<String> {
        if let Some(known) = self.memory().faults.get(&(group, replica)) {
            return Some(known.clone());
        }
        let doubted = self.hosted.get(group).filter(|shard| shard.replica() == replica);
        if let Some(cause) = doubted.as_ref().and_then(|shard| shard.doubt()) {
            self.condemn(group, replica, cause);
            return Some(cause.to_owned());
        }
        let raft = self.consensus.get(group).filter(|raft| raft.replica() == replica)?;
        let rollback = raft.status().rolled_back()?;
        let cause = match self.checkpoints.cause((group, replica)) {
            Some(cause) => cause.to_string(),
            None => {
                format!(
                    "rolled back: it acknowledged {}, and its disk holds {}",
                    rollback.floor, rollback.held
                )
            }
        };
        self.condemn(group, replica, &cause);
        Some(cause)
    }

    /// What operators are told of a replica that is not to be believed.
    pub(super) fn told_fault(&self, group: GroupId, replica: ReplicaId) -> String {
        self.memory().faults.get(&(group, replica)).cloned().unwrap_or_default()
    }

    /// Whether a replica stopped by itself: its state or its disk failed.
    pub(super) fn has_failed(&self, group: GroupId) -> bool {
        self.hosted.get(group).is_some_and(|shard| shard.raft().status().role == Role::Stopped)
    }

    /// Puts a replica that stopped by itself away, to be started again. One that stops over and over is not worth it where there are
    /// others.
    pub(super) async fn put_away(&self, group: GroupId, replica: ReplicaId) {
        tracing::error!(%group, %replica, "the replica stopped by itself; it is started again");
        if let Some(shard) = self.hosted.remove(group) {
            shard.state().keys().close();
        }
        self.consensus.stop(group).await;
        let failures = {
            let mut memory = self.memory();
            let failures = memory.failures.entry((group, replica)).or_default();
            *failures += 1;
            *failures
        };
        let others = self.descriptor(group).is_ok_and(|group| group.voters().any(|of| of.replica != replica));
        if failures >= MAX_FAILURES && others {
            self.condemn(group, replica, "it stops by itself over and over");
        }
    }

    /// Remembers what says that a replica cannot be started any more.
    pub(super) fn judge<T>(
        &self,
        group: GroupId,
        replica: ReplicaId,
        started: Result<T, StepError>,
    ) -> Result<T, StepError> {
        if let Err(StepError::Start(error @ StartError::Damaged { .. })) = &started {
            self.condemn(group, replica, &error.to_string());
        }
        started
    }

    /// Whether a replica is not to be believed and the map does not say so yet. It takes no step of its group, as whatever it would give to others
    /// is in doubt.
    pub(super) fn wants_replacement(&self, descriptor: &GroupDescriptor, own: ReplicaId) -> bool {
        let leaving = descriptor.replica(own).is_none_or(|replica| replica.state == ReplicaState::Leaving);
        !leaving && self.fault(descriptor.group, own).is_some()
    }

    /// Hands the lead over and asks to be replaced. Where there is no other replica nothing can take its place: it serves nobody, operators are
    /// told, and what becomes of its data is theirs to decide.
    pub(super) async fn ask_for_replacement(&self, group: GroupId, own: ReplicaId) -> Result<(), StepError> {
        let descriptor = self.descriptor(group)?;
        if !descriptor.is_new() && descriptor.voters().all(|voter| voter.replica == own) {
            return Ok(());
        }
        let doubted = self.hosted.get(group).is_some_and(|shard| shard.doubt().is_some());
        // One in doubt at a time: the others' copies are all there is until it is replaced.
        if doubted && !descriptor.is_settled() {
            return Ok(());
        }
        if let Some(raft) = self.consensus.get(group) {
            raft.step_aside(LEAD_PATIENCE).await;
        }
        report(self, (group, own), ReplicaReport::Lost, 0).await
    }
}
