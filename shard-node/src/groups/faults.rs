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
        if let Some(cause) = self.doubt(group, replica) {
            return cause;
        }
        let raft = self.consensus.get(group).filter(|raft| raft.replica() == replica)?;
        let rollback = raft.status().rolled_back()?;
        let cause =
            format!("rolled back: it acknowledged {}, and its disk holds {}", rollback.floor, rollback.held);
        self.condemn(group, replica, &cause);
        Some(cause)
    }

    /// What the replica's own data says against it. Where there is no other replica, one that is in doubt is better than none: then it is
    /// told and nothing else.
    fn doubt(&self, group: GroupId, replica: ReplicaId) -> Option<Option<String>> {
        let shard = self.hosted.get(group).filter(|shard| shard.replica() == replica)?;
        let cause = shard.doubt()?.to_owned();
        if self.descriptor(group).is_ok_and(|group| group.voters().any(|voter| voter.replica != replica)) {
            self.condemn(group, replica, &cause);
            return Some(Some(cause));
        }
        self.memory().doubts.insert((group, replica), cause);
        Some(None)
    }

    /// What operators are told of a replica that is not to be believed.
    pub(super) fn told_fault(&self, group: GroupId, replica: ReplicaId) -> String {
        let memory = self.memory();
        let known = memory.faults.get(&(group, replica)).or_else(|| memory.doubts.get(&(group, replica)));
        known.cloned().unwrap_or_default()
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

    /// Whether a replica asks to be replaced and was not heard yet.
    pub(super) fn wants_replacement(&self, descriptor: &GroupDescriptor, own: ReplicaId) -> bool {
        let leaving = descriptor.replica(own).is_none_or(|replica| replica.state == ReplicaState::Leaving);
        !leaving && self.fault(descriptor.group, own).is_some()
    }

    /// Hands the lead over and asks to be replaced.
    pub(super) async fn ask_for_replacement(&self, group: GroupId, own: ReplicaId) -> Result<(), StepError> {
        let doubted = self.hosted.get(group).is_some_and(|shard| shard.doubt().is_some());
        // One in doubt at a time: the others' copies are all there is until it is replaced.
        if doubted && !self.descriptor(group)?.is_settled() {
            return Ok(());
        }
        if let Some(raft) = self.consensus.get(group) {
            raft.step_aside(LEAD_PATIENCE).await;
        }
        report(self, (group, own), ReplicaReport::Lost, 0).await
    }
}
