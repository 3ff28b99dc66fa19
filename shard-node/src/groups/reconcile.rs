//! The loop that turns the map into steps: one group at a time each, all groups at once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_domain::{GroupId, ReplicaId};

use super::{
    Runtime, StepError,
    facts::PutOff,
    plan::{Step, next_step},
};

/// Groups are looked at this often, also without news: Raft's own changes and other nodes' progress are none.
const LOOK: Duration = Duration::from_millis(250);
/// How long what was reported may take to come back.
const NEWS: Duration = Duration::from_secs(1);
/// Steps in a row before the others' turn.
const STEPS_AT_ONCE: usize = 16;

/// Groups with a step under way, at most one each.
type Running = Arc<Mutex<BTreeSet<GroupId>>>;

/// Follows the registry's view for ever.
pub async fn reconcile(runtime: Arc<Runtime>) {
    let running = Running::default();
    let mut view = runtime.view.clone();
    loop {
        view.mark_unchanged();
        for group in runtime.concerned() {
            if runtime.wants_attention(group) {
                begin(&runtime, &running, group);
            }
        }
        // A closed watch means that the process ends.
        if let Ok(Err(_)) = tokio::time::timeout(LOOK, view.changed()).await {
            return;
        }
    }
}

fn begin(runtime: &Arc<Runtime>, running: &Running, group: GroupId) {
    if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(group) {
        return;
    }
    let (runtime, running) = (Arc::clone(runtime), Arc::clone(running));
    tokio::spawn(async move {
        runtime.attend(group).await;
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
    });
}

impl Runtime {
    /// Groups that this node has, is to have, or is to delete.
    fn concerned(&self) -> BTreeSet<GroupId> {
        let view = self.view.borrow();
        let node = self.node();
        let listed = view.map.iter().flat_map(|map| &map.map.groups);
        let listed = listed.filter(|group| group.on(node).is_some()).map(|group| group.group);
        let stored = self.consensus.stored().into_iter().map(|(group, _)| group);
        listed.chain(stored).chain(view.drops.iter().map(|(group, _)| *group)).collect()
    }

    /// Whether there is anything to do, as far as that can be seen without asking anybody.
    fn wants_attention(&self, group: GroupId) -> bool {
        if !self.to_drop(group).is_empty() {
            return true;
        }
        let Some((descriptor, own)) = self.own(group) else { return false };
        if self.has_failed(group) {
            return true;
        }
        if self.wants_replacement(&descriptor, own) {
            return self.is_due(group, own);
        }
        let raft = self.consensus.get(group);
        let facts = self.facts_at_hand(&descriptor, own, raft.as_ref());
        next_step(own, &descriptor, &facts) != Step::Rest || self.wants_upkeep(&descriptor)
    }

    fn own(&self, group: GroupId) -> Option<(holdfast_domain::GroupDescriptor, ReplicaId)> {
        let descriptor = self.descriptor(group).ok()?;
        let own = descriptor.on(self.node())?.replica;
        Some((descriptor, own))
    }

    /// Does what there is to do for a group, until there is nothing more or a step fails.
    async fn attend(&self, group: GroupId) {
        for replica in self.to_drop(group) {
            if !self.is_due(group, replica) {
                return;
            }
            let dropped = self.drop_replica(group, replica).await;
            if self.note(group, replica, "drop", dropped).is_none() {
                return;
            }
        }
        for _ in 0..STEPS_AT_ONCE {
            let Some((descriptor, own)) = self.own(group) else { return };
            if self.has_failed(group) {
                self.put_away(group, own).await;
                let failed: Result<(), _> = Err(StepError::Stopped(group));
                self.note(group, own, "running", failed);
                return;
            }
            if self.wants_replacement(&descriptor, own) {
                let asked = self.ask_for_replacement(group, own).await;
                self.note(group, own, "replacement", asked);
                return;
            }
            let raft = self.consensus.get(group);
            let facts = self.facts(&descriptor, own, raft.as_ref()).await;
            let step = next_step(own, &descriptor, &facts);
            let about = step.about().unwrap_or(own);
            if step == Step::Rest || !self.is_due(group, about) {
                break;
            }
            let name = format!("{step:?}");
            let mut news = self.view.clone();
            news.mark_unchanged();
            let taken = self.take(step, (group, own)).await;
            if taken.is_ok() && step.is_report() {
                // What was reported comes back as a map; until then it would be reported again.
                drop(tokio::time::timeout(NEWS, news.changed()).await);
            }
            if self.note(group, about, &name, taken).is_none() {
                break;
            }
        }
        if let Some((descriptor, own)) = self.own(group) {
            self.upkeep(&descriptor, own).await;
        }
    }

    fn is_due(&self, group: GroupId, replica: ReplicaId) -> bool {
        self.memory().put_off.get(&(group, replica)).is_none_or(PutOff::is_due)
    }

    /// Remembers how a step about a replica went; something if it went well.
    pub(super) fn note<T>(
        &self,
        group: GroupId,
        replica: ReplicaId,
        step: &str,
        result: Result<T, StepError>,
    ) -> Option<T> {
        let mut memory = self.memory();
        match result {
            Ok(done) => {
                memory.put_off.remove(&(group, replica));
                Some(done)
            }
            Err(error) => {
                let before = memory.put_off.get(&(group, replica)).copied();
                memory.put_off.insert((group, replica), PutOff::again(before));
                let error = holdfast_domain::causes(&error);
                tracing::warn!(%group, %replica, step, error, "step failed; it will be tried again");
                None
            }
        }
    }
}
