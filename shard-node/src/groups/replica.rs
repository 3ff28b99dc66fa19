//! Starting and deleting replicas.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use holdfast_consensus::{Member, Pin};
use holdfast_domain::{GroupDescriptor, GroupId, KeyGeneration, ReplicaDescriptor, ReplicaId};
use holdfast_keys::Dmk;
use holdfast_proto::registry::v1::ReplicaReport;
use holdfast_store::segments::{SegmentOptions, SegmentStore};

use super::{Runtime, StepError, report::report};
use crate::{
    custody,
    machine::{GroupKeys, GroupState},
    partition::ShardGroup,
};

/// How long a group of one replica may take to elect itself.
const LEAD_PATIENCE: Duration = Duration::from_secs(10);

impl Runtime {
    /// Starts every replica that this disk holds, before the registry is asked for anything.
    pub async fn resume(&self) {
        for (group, replica) in self.consensus.stored() {
            if let Err(error) = self.resume_one(group, replica).await {
                tracing::error!(%group, %replica, error = %holdfast_domain::causes(&error), "a stored replica does not start");
            }
        }
    }

    async fn resume_one(&self, group: GroupId, replica: ReplicaId) -> Result<(), StepError> {
        let dmk = custody::open(&self.keeper.member, group).await?;
        self.start(group, replica, dmk).await?;
        Ok(())
    }

    /// Starts a replica, or finds the one that runs.
    pub(super) async fn start(
        &self,
        group: GroupId,
        replica: ReplicaId,
        dmk: Dmk,
    ) -> Result<Arc<ShardGroup>, StepError> {
        if let Some(running) = self.hosted.get(group) {
            return Ok(running);
        }
        let keys = GroupKeys::new(self.keeper.member.settings().cluster, group, KeyGeneration(1), dmk);
        let engine = Arc::clone(&self.engine);
        let state = tokio::task::spawn_blocking(move || GroupState::open(engine, keys));
        let state = state.await.map_err(|_| StepError::Interrupted)??;
        let folder = self.content_of(group, replica);
        let segments =
            tokio::task::spawn_blocking(move || SegmentStore::open(&folder, SegmentOptions::default()));
        let segments = Arc::new(segments.await.map_err(|_| StepError::Interrupted)??);
        // Last of what can fail: a replica that runs unhosted could not be started again.
        let raft = self.consensus.start(group, replica, state.machine()).await?;
        let shard = ShardGroup::open(raft, state, segments, self.clock.clone());
        shard.spawn_maintenance();
        self.hosted.insert(Arc::clone(&shard));
        tracing::info!(%group, %replica, "replica started");
        Ok(shard)
    }

    /// Makes the first replica of a group: key first, wrapped and stored, then the group itself.
    pub(super) async fn found(&self, group: GroupId) -> Result<(), StepError> {
        let descriptor = self.descriptor(group)?;
        let own = self.own_replica(&descriptor)?;
        let dmk = custody::found(&self.keeper, group).await?;
        let shard = self.start(group, own.replica, dmk).await?;
        let raft = shard.raft();
        raft.bootstrap(BTreeMap::from([(own.replica, member_of(&own))])).await?;
        raft.wait_leading(LEAD_PATIENCE).await?;
        shard.ensure_slots(&descriptor).await?;
        report(self, group, own.replica, ReplicaReport::Founded).await
    }

    /// Deletes what is left of a replica that was handed over: log, records, chunks, key. Can be repeated; a later replica of the same
    /// group is not touched.
    pub(super) async fn drop_replica(&self, group: GroupId, replica: ReplicaId) -> Result<(), StepError> {
        self.check_droppable(group, replica)?;
        let of_group = |(of, _): &(GroupId, ReplicaId)| *of == group;
        let stored: Vec<_> = self.consensus.stored().into_iter().filter(of_group).map(|(_, id)| id).collect();
        // No log at all may mean that an earlier try was interrupted: whatever else there is goes too.
        if stored.is_empty() || stored.contains(&replica) {
            self.hosted.remove(group);
            self.retired(|retiring| retiring.remove(&group));
            self.consensus.remove(group).await?;
            let engine = Arc::clone(&self.engine);
            let deleting = tokio::task::spawn_blocking(move || GroupState::destroy(&*engine, group));
            deleting.await.map_err(|_| StepError::Interrupted)??;
            custody::forget(&self.keeper.member, group)?;
        }
        let folder = self.content_of(group, replica);
        // Chunks are sealed; a folder that stays behind is no leak, only waste.
        if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
            tracing::debug!(folder = %folder.display(), %error, "segments not removed");
        }
        report(self, group, replica, ReplicaReport::Dropped).await
    }

    /// Deleting cannot be undone, so two others must agree with the registry's task: the signed map, and the group's own membership. A
    /// move that is given up in the very moment in which it succeeds would otherwise cost the only copy.
    fn check_droppable(&self, group: GroupId, replica: ReplicaId) -> Result<(), StepError> {
        let listed = |descriptor: GroupDescriptor| descriptor.replicas.iter().any(|of| of.replica == replica);
        if self.descriptor(group).is_ok_and(listed) {
            return Err(StepError::StillNeeded(replica, "the shard map lists it"));
        }
        let running = self.consensus.get(group).map(|raft| raft.status());
        if running.is_some_and(|raft| raft.replica == replica && raft.membership.voters.contains(&replica)) {
            return Err(StepError::StillNeeded(replica, "it is a voter of its group"));
        }
        Ok(())
    }

    pub(super) fn content_of(&self, group: GroupId, replica: ReplicaId) -> PathBuf {
        self.content.join(format!("{group}-{replica}"))
    }

    pub(super) fn retired<T>(&self, change: impl FnOnce(&mut BTreeMap<GroupId, Arc<ShardGroup>>) -> T) -> T {
        change(&mut self.retiring.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// What a group's membership says of a replica: any live certificate of its node will do, as listener keys last an hour.
pub(super) fn member_of(replica: &ReplicaDescriptor) -> Member {
    Member { node: replica.node, address: replica.address.clone(), pin: Pin::Certificate }
}
