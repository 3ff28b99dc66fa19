//! The loop that turns wishes into steps.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_domain::GroupId;
use holdfast_enrol::watch::Task;

use super::{Runtime, StepError};

/// Steps that failed are tried again this often, also without news.
const RETRY: Duration = Duration::from_millis(500);

/// Groups with a step under way, at most one each.
type Running = Arc<Mutex<BTreeSet<GroupId>>>;

/// Follows the registry's view for ever.
pub async fn reconcile(runtime: Arc<Runtime>) {
    let running = Running::default();
    let mut view = runtime.view.clone();
    loop {
        let tasks = view.borrow_and_update().tasks.clone();
        for (group, task) in next_steps(&tasks) {
            begin(&runtime, &running, group, task);
        }
        activate_slots(&runtime).await;
        // A closed watch means that the process ends.
        if let Ok(Err(_)) = tokio::time::timeout(RETRY, view.changed()).await {
            return;
        }
    }
}

/// One step a group. What is to be deleted goes first: a group that comes back finds neither log, records nor key of its former
/// replica here, and a deletion that is repeated later cannot meet the new one.
fn next_steps(tasks: &BTreeSet<(GroupId, Task)>) -> BTreeMap<GroupId, Task> {
    let mut steps = BTreeMap::new();
    for (group, task) in tasks {
        let known = steps.entry(*group).or_insert_with(|| task.clone());
        if matches!(task, Task::Drop(_)) && !matches!(known, Task::Drop(_)) {
            *known = task.clone();
        }
    }
    steps
}

fn begin(runtime: &Arc<Runtime>, running: &Running, group: GroupId, task: Task) {
    if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(group) {
        return;
    }
    let (runtime, running) = (Arc::clone(runtime), Arc::clone(running));
    tokio::spawn(async move {
        if let Err(error) = step(&runtime, group, &task).await {
            tracing::warn!(%group, ?task, error = %holdfast_domain::causes(&error), "step failed; it will be tried again");
        }
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&group);
    });
}

async fn step(runtime: &Runtime, group: GroupId, task: &Task) -> Result<(), StepError> {
    match task {
        Task::Found => runtime.found(group).await,
        Task::HandOver(target) => runtime.hand_over(group, target).await,
        Task::Withdraw(target) => runtime.withdraw(group, target).await,
        Task::Receive => runtime.receive(group).await,
        Task::Drop(replica) => runtime.drop_replica(group, *replica).await,
    }
}

/// Slots that the map gives to groups that we lead.
async fn activate_slots(runtime: &Runtime) {
    for shard in runtime.hosted.all() {
        let Ok(descriptor) = runtime.descriptor(shard.id()) else { continue };
        if let Err(error) = shard.ensure_slots(&descriptor).await {
            tracing::debug!(group = %shard.id(), %error, "slots not activated yet");
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::ReplicaId;

    use super::*;

    #[test]
    fn a_group_that_comes_back_waits_until_its_former_replica_is_gone() {
        let (one, two) = (GroupId(1), GroupId(2));
        let (first, second) = (Task::Drop(ReplicaId(3)), Task::Drop(ReplicaId(9)));
        let tasks = [(one, Task::Receive), (one, first.clone()), (one, second.clone()), (two, Task::Found)];
        let steps = next_steps(&BTreeSet::from(tasks));
        assert_eq!(steps, BTreeMap::from([(one, first), (two, Task::Found)]));
        let steps = next_steps(&BTreeSet::from([(one, second.clone()), (one, Task::Receive)]));
        assert_eq!(steps, BTreeMap::from([(one, second)]));
    }
}
