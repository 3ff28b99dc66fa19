//! What a replica does beside the steps of the plan: keys that the log waits for, slots that begin, addresses that changed, keys that are
//! rotated or forgotten.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use holdfast_domain::{
    GroupDescriptor, GroupId, KeyGeneration, MapEpoch, ReplicaId, ReplicaState, ShardEpoch,
};

use super::{
    Runtime, StepError,
    replica::member_of,
    rotate::{fenced_below, oldest_key_in_use, reseal_slots},
};
use crate::{custody, machine::Position, partition::ShardGroup};

/// Pause between two tries to forget an old key: each makes a snapshot.
const RETIRE: Duration = Duration::from_secs(10);
/// How long a voter may take to lead instead.
const LEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long a snapshot may take.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(600);

/// How long a purge may take; it waits for followers that read what is to go.
const PURGE_PATIENCE: Duration = Duration::from_secs(60);

/// What need not be done again.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// The descriptor whose slots are all active.
    activated: Option<ShardEpoch>,
    /// Learners that this leader wrapped the newest key to.
    wrapped: BTreeSet<(ReplicaId, KeyGeneration)>,
    retired: Option<Instant>,
    /// The comparison of digests that was made last.
    pub(super) compared: Option<u64>,
    /// Of the last move of slots out of the group: up to where its rows were asked for.
    pub(super) pulled: Option<(MapEpoch, Position)>,
}

impl Runtime {
    /// Whether there is anything to do, as far as memory says.
    pub(super) fn wants_upkeep(&self, descriptor: &GroupDescriptor) -> bool {
        let group = descriptor.group;
        let Some(shard) = self.hosted.get(group) else { return false };
        let keys = shard.state().keys();
        if keys.awaited().is_some() || self.may_retire(&shard) || self.may_compare(&shard) {
            return true;
        }
        shard.leads()
            && (self.may_rotate(&shard).is_some()
                || self.wants_activation(descriptor)
                || !self.unwrapped(descriptor, &shard).is_empty()
                || !stale_addresses(descriptor, &shard).is_empty())
    }

    /// Does it; what fails is tried again later.
    pub(super) async fn upkeep(&self, descriptor: &GroupDescriptor, own: ReplicaId) {
        let group = descriptor.group;
        let due = self.memory().put_off.get(&(group, own)).is_none_or(super::facts::PutOff::is_due);
        let Some(shard) = self.hosted.get(group).filter(|_| due && self.wants_upkeep(descriptor)) else {
            return;
        };
        let done = self.keep_up(descriptor, own, &shard).await;
        self.note(group, own, "upkeep", done);
    }

    async fn keep_up(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        shard: &ShardGroup,
    ) -> Result<(), StepError> {
        let group = descriptor.group;
        if shard.state().keys().awaited().is_some() {
            let received = self.receive_keys(group).await;
            // Whoever leads and cannot apply keeps all others from deciding.
            if received.is_err() && shard.raft().status().leads() {
                shard.raft().step_aside(LEAD_PATIENCE).await;
            }
            received?;
        }
        if shard.leads() {
            if self.wants_activation(descriptor) {
                shard.ensure_slots(descriptor).await?;
                self.done(group, |done| done.activated = Some(descriptor.epoch));
            }
            let moved = stale_addresses(descriptor, shard);
            if !moved.is_empty() {
                shard.raft().update_members(moved).await?;
            }
            for learner in self.unwrapped(descriptor, shard) {
                let newest = shard.state().keys().newest();
                self.wrap(group, &self.listed(group, learner)?).await?;
                self.done(group, |done| done.wrapped.insert((learner, newest)));
            }
            if let Some(above) = self.may_rotate(shard) {
                self.rotate(descriptor, own, above).await?;
            }
        }
        if self.may_compare(shard) {
            self.compare(descriptor, own, shard).await;
        }
        if self.may_retire(shard) {
            self.done(group, |done| done.retired = Some(Instant::now()));
            self.retire_keys(shard).await?;
        }
        Ok(())
    }

    /// The generation above which the group's key is to be.
    fn rotation(&self, group: GroupId) -> Option<KeyGeneration> {
        self.view.borrow().rotations.get(&group).copied()
    }

    /// The same, unless a newcomer is on its way: it is still to read what was sealed under the key that would go.
    fn may_rotate(&self, shard: &ShardGroup) -> Option<KeyGeneration> {
        let status = shard.raft().status();
        let settled = status.membership.members.len() == status.membership.voters.len();
        self.rotation(shard.id()).filter(|_| settled)
    }

    /// A newcomer gets the newest key alone, so this leader's log must speak of no other: wraps of older ones are gone, or are about to go.
    pub(super) async fn settle_keys(&self, shard: &ShardGroup) -> Result<(), StepError> {
        let keys = shard.state().keys();
        if self.rotation(shard.id()).is_none() && keys.generations().len() > 1 {
            self.retire_keys(shard).await?;
        }
        if self.rotation(shard.id()).is_none() && keys.generations().len() == 1 {
            Ok(())
        } else {
            Err(StepError::KeysInMotion(shard.id()))
        }
    }

    /// Nothing is acknowledged with fewer replicas than were asked for: a group begins to serve when all of them vote.
    fn wants_activation(&self, descriptor: &GroupDescriptor) -> bool {
        let active = self.done(descriptor.group, |done| done.activated);
        descriptor.is_settled() && active != Some(descriptor.epoch)
    }

    /// Learners to which this leader has not wrapped the newest key. Who did may be no replica any more, and then its word is nothing.
    fn unwrapped(&self, descriptor: &GroupDescriptor, shard: &ShardGroup) -> Vec<ReplicaId> {
        let newest = shard.state().keys().newest();
        let members = shard.raft().status().membership;
        let is_learner = |id: &ReplicaId| {
            members.members.contains_key(id)
                && descriptor.replica(*id).is_some_and(|of| of.state == ReplicaState::Learner)
        };
        let learners = descriptor.replicas.iter().map(|replica| replica.replica).filter(is_learner);
        learners
            .filter(|id| !self.done(descriptor.group, |done| done.wrapped.contains(&(*id, newest))))
            .collect()
    }

    fn may_compare(&self, shard: &ShardGroup) -> bool {
        let taken = shard.state().taken().map(|taken| taken.mark);
        taken.is_some() && self.done(shard.id(), |done| done.compared) != taken
    }

    fn may_retire(&self, shard: &ShardGroup) -> bool {
        let group = shard.id();
        let recently = self.done(group, |done| done.retired.is_some_and(|last| last.elapsed() < RETIRE));
        !recently && self.rotation(group).is_none() && shard.state().keys().generations().len() > 1
    }

    /// Forgets keys that no slot keyring is sealed under any more, neither in the state nor in what it could be rebuilt from.
    async fn retire_keys(&self, shard: &ShardGroup) -> Result<(), StepError> {
        if shard.leads() {
            // One that was sealed under an older key while that was rotated may have come later.
            reseal_slots(shard).await?;
        }
        let used = shard.blocking(oldest_key_in_use).await?;
        let keys = shard.state().keys();
        let old: Vec<_> =
            keys.generations().into_iter().filter(|of| used.is_none_or(|used| *of < used)).collect();
        let fence = shard.blocking(fenced_below).await?;
        let old: Vec<_> = old.into_iter().filter(|of| *of < keys.newest().min(fence)).collect();
        if old.is_empty() {
            return Ok(());
        }
        shard.raft().snapshot_now(SNAPSHOT_PATIENCE).await?;
        // A newcomer must not be fed what it has no key for.
        shard.raft().purge_now(PURGE_PATIENCE).await?;
        for generation in old {
            custody::retire(&self.keeper.member, shard.id(), generation)?;
            keys.retire(generation).map_err(custody::CustodyError::Generation)?;
            tracing::info!(group = %shard.id(), %generation, "old generation of the group's key forgotten");
        }
        Ok(())
    }

    pub(super) fn done<T>(&self, group: GroupId, job: impl FnOnce(&mut Done) -> T) -> T {
        job(self.memory().upkeep.entry(group).or_default())
    }
}

/// Members whose address in the group's own membership is not the map's.
fn stale_addresses(
    descriptor: &GroupDescriptor,
    shard: &ShardGroup,
) -> BTreeMap<ReplicaId, holdfast_consensus::Member> {
    let members = shard.raft().status().membership;
    let listed = descriptor.replicas.iter();
    let stale = listed.filter(|replica| {
        members.members.get(&replica.replica).is_some_and(|member| member.address != replica.address)
    });
    stale.map(|replica| (replica.replica, member_of(replica))).collect()
}
