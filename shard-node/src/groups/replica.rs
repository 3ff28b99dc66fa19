//! Founding, starting and deleting replicas.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast_consensus::{Group, Member, Pin};
use holdfast_domain::{GroupId, NodeId, ReplicaDescriptor, ReplicaId, ReplicaState};
use holdfast_proto::registry::v1::ReplicaReport;
use holdfast_store::segments::{SegmentOptions, SegmentStore};

use super::{Runtime, StepError, neighbours::GroupPeers, report::report};
use crate::{
    custody::{self, CustodyError, Generations},
    machine::{GroupKeys, GroupState},
    partition::ShardGroup,
};

/// How long a group of one replica may take to elect itself.
const LEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a start that may wait for a key, and how long it may wait in all: other replicas start after it.
const KEY_LOOK: Duration = Duration::from_millis(500);
const KEY_PATIENCE: Duration = Duration::from_secs(10);

impl Runtime {
    /// Starts every replica that this disk holds, before the registry is asked for anything.
    pub async fn resume(&self) {
        for (group, replica) in self.consensus.stored() {
            let started = self.resume_one(group, replica).await;
            self.note(group, replica, "start of a stored replica", started);
        }
    }

    pub(super) async fn resume_one(&self, group: GroupId, replica: ReplicaId) -> Result<(), StepError> {
        let keys = custody::open(&self.keeper.member, group).await?;
        let started = self.start(group, replica, keys).await;
        self.judge(group, replica, started).map(drop)
    }

    /// Starts a replica, or finds the one that runs.
    async fn start(
        &self,
        group: GroupId,
        replica: ReplicaId,
        generations: Generations,
    ) -> Result<Arc<ShardGroup>, StepError> {
        if let Some(running) = self.hosted.get(group) {
            let is_own = running.replica() == replica;
            return if is_own { Ok(running) } else { Err(StepError::FormerReplica(group)) };
        }
        let keys = self.group_keys(group, generations)?;
        let engine = Arc::clone(&self.engine);
        let state = tokio::task::spawn_blocking(move || GroupState::open(engine, keys));
        let state = state.await.map_err(|_| StepError::Interrupted)??;
        let folder = self.content_of(group, replica);
        let segments =
            tokio::task::spawn_blocking(move || SegmentStore::open(&folder, SegmentOptions::default()));
        let segments = Arc::new(segments.await.map_err(|_| StepError::Interrupted)??);
        // Last of what can fail: a replica that runs unhosted could not be started again.
        let raft = self.start_raft(group, replica, &state).await?;
        let shard = ShardGroup::open(raft, state, segments, self.clock.clone());
        let (raft, neighbours) = (shard.raft().clone(), Arc::clone(&self.neighbours));
        shard.connect(Arc::new(GroupPeers { raft, neighbours }));
        shard.spawn_maintenance();
        self.hosted.insert(Arc::clone(&shard));
        tracing::info!(%group, %replica, "replica started");
        Ok(shard)
    }

    /// A start applies what is committed, and that may wait for a key: which is fetched meanwhile, or the start is given up for now.
    async fn start_raft(
        &self,
        group: GroupId,
        replica: ReplicaId,
        state: &Arc<GroupState>,
    ) -> Result<Group, StepError> {
        let floor = self.floor(group, replica).await;
        let (consensus, machine) = (self.consensus.clone(), state.machine());
        // A task of its own, as it may block.
        let mut starting = tokio::spawn(async move {
            match floor {
                Some(floor) => consensus.start_above(group, replica, machine, floor).await,
                None => consensus.start(group, replica, machine).await,
            }
        });
        let began = Instant::now();
        loop {
            match tokio::time::timeout(KEY_LOOK, &mut starting).await {
                Ok(started) => return Ok(started.map_err(|_| StepError::Interrupted)??),
                Err(_) if state.keys().awaited().is_none() => {}
                Err(_) if began.elapsed() > KEY_PATIENCE => state.keys().close(),
                Err(_) => {
                    let received = self.receive_into(group, state.keys()).await;
                    if let Err(error) = received {
                        tracing::warn!(%group, error = %holdfast_domain::causes(&error), "the start waits for a key");
                    }
                }
            }
        }
    }

    fn group_keys(&self, group: GroupId, generations: Generations) -> Result<GroupKeys, StepError> {
        let mut generations = generations.into_iter();
        let (first, dmk) = generations.next().ok_or(CustodyError::Missing(group))?;
        let keys = GroupKeys::new(self.keeper.member.settings().cluster, group, first, dmk);
        for (generation, dmk) in generations {
            keys.push(generation, dmk).map_err(CustodyError::Generation)?;
        }
        Ok(keys)
    }

    /// Makes the first replica of a group: key first, wrapped and stored, then the group itself.
    pub(super) async fn found(&self, group: GroupId, own: ReplicaId) -> Result<(), StepError> {
        let replica = self.listed(group, own)?;
        let keys = custody::found(&self.keeper, group).await?;
        let shard = self.start(group, own, keys).await?;
        // Before it holds anything.
        self.checkpoint().await?;
        let raft = shard.raft();
        raft.bootstrap(BTreeMap::from([(own, member_of(&replica))])).await?;
        raft.wait_leading(LEAD_PATIENCE).await?;
        report(self, (group, own), ReplicaReport::Founded, 0).await
    }

    /// Gets the group's keys from who wrapped them, and starts a replica that has nothing yet.
    pub(super) async fn join(&self, group: GroupId, own: ReplicaId) -> Result<(), StepError> {
        self.receive_keys(group).await?;
        self.resume_one(group, own).await?;
        Ok(self.checkpoint().await?)
    }

    /// Takes over the keys that other replicas of the group wrapped to this machine; into a running replica too.
    pub(crate) async fn receive_keys(&self, group: GroupId) -> Result<(), StepError> {
        match self.hosted.get(group) {
            Some(shard) => self.receive_into(group, shard.state().keys()).await,
            None => Ok(custody::receive(&self.keeper, group, &self.wrappers(group)?).await.map(drop)?),
        }
    }

    async fn receive_into(&self, group: GroupId, keys: &GroupKeys) -> Result<(), StepError> {
        let received = custody::receive(&self.keeper, group, &self.wrappers(group)?).await?;
        for (generation, dmk) in received {
            if generation > keys.newest() {
                keys.push(generation, dmk).map_err(CustodyError::Generation)?;
            }
        }
        Ok(())
    }

    /// Machines whose wraps of a group's key count: those that are or were trusted with it, not those that wait for it.
    fn wrappers(&self, group: GroupId) -> Result<Vec<NodeId>, StepError> {
        let (descriptor, own) = (self.descriptor(group)?, self.node());
        let has_key = |replica: &&ReplicaDescriptor| {
            matches!(replica.state, ReplicaState::Voter | ReplicaState::Leaving) && replica.node != own
        };
        Ok(descriptor.replicas.iter().filter(has_key).map(|replica| replica.node).collect())
    }

    /// Replicas to delete here: the registry names them, or a disk that was put back holds them again; and the signed map, which is nobody's
    /// word alone, does without them.
    pub(super) fn to_drop(&self, group: GroupId) -> Vec<ReplicaId> {
        let stored = self.consensus.stored().into_iter().filter(|(of, _)| *of == group).map(|(_, id)| id);
        let view = self.view.borrow();
        let Some(map) = &view.map else { return Vec::new() };
        let descriptor = map.map.group(group);
        let done_without = |replica: ReplicaId| match descriptor {
            None => true,
            Some(group) => {
                group.replica(replica).is_none() && group.voters().any(|voter| voter.replica != replica)
            }
        };
        // Ids only grow: below one that is listed, what is not listed was, and is gone.
        let newest = descriptor.and_then(|group| group.replicas.iter().map(|of| of.replica).max());
        let returned = stored.filter(|replica| newest.is_some_and(|newest| *replica < newest));
        let named = view.drops.iter().filter(|(of, _)| *of == group).map(|(_, replica)| *replica);
        let gone: BTreeSet<_> = named.chain(returned).filter(|replica| done_without(*replica)).collect();
        gone.into_iter().collect()
    }

    /// Deletes what is left of a replica: log, records, chunks, key. Can be repeated; a later replica of the same group is not touched.
    pub(super) async fn drop_replica(&self, group: GroupId, replica: ReplicaId) -> Result<(), StepError> {
        let of_group = |(of, _): &(GroupId, ReplicaId)| *of == group;
        let stored: Vec<_> = self.consensus.stored().into_iter().filter(of_group).map(|(_, id)| id).collect();
        // No log at all may mean that an earlier try was interrupted: whatever else there is goes too.
        if stored.is_empty() || stored.contains(&replica) {
            if let Some(shard) = self.hosted.remove(group) {
                shard.state().keys().close();
            }
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
        self.memory().upkeep.remove(&group);
        report(self, (group, replica), ReplicaReport::Dropped, 0).await
    }

    fn content_of(&self, group: GroupId, replica: ReplicaId) -> PathBuf {
        self.content.join(format!("{group}-{replica}"))
    }
}

/// What a group's membership says of a replica: any live certificate of its node will do, as listener keys last an hour.
pub(super) fn member_of(replica: &ReplicaDescriptor) -> Member {
    Member { node: replica.node, address: replica.address.clone(), pin: Pin::Certificate }
}
