//! The loop that turns wishes into steps.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use holdfast_domain::GroupId;
use holdfast_enrol::watch::Task;

use super::{Runtime, StepError};

/// Steps that failed are tried again this often, also without news.
const RETRY: Duration = Duration::from_millis(500);

/// Steps under way, at most one for each group and task.
type Running = Arc<Mutex<BTreeSet<(GroupId, Task)>>>;

/// Follows the registry's view for ever.
pub async fn reconcile(runtime: Arc<Runtime>) {
    let running = Running::default();
    let mut view = runtime.view.clone();
    loop {
        let tasks = view.borrow_and_update().tasks.clone();
        for (group, task) in tasks {
            begin(&runtime, &running, group, task);
        }
        activate_slots(&runtime).await;
        // A closed watch means that the process ends.
        if let Ok(Err(_)) = tokio::time::timeout(RETRY, view.changed()).await {
            return;
        }
    }
}

fn begin(runtime: &Arc<Runtime>, running: &Running, group: GroupId, task: Task) {
    let key = (group, task);
    if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone()) {
        return;
    }
    let (runtime, running) = (Arc::clone(runtime), Arc::clone(running));
    tokio::spawn(async move {
        if let Err(error) = step(&runtime, key.0, &key.1).await {
            tracing::warn!(group = %key.0, task = ?key.1, error = %holdfast_domain::causes(&error), "step failed; it will be tried again");
        }
        running.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    });
}

async fn step(runtime: &Runtime, group: GroupId, task: &Task) -> Result<(), StepError> {
    match task {
        Task::Found => runtime.found(group).await,
        Task::HandOver(target) => runtime.hand_over(group, target).await,
        Task::Receive => runtime.receive(group).await,
        Task::Drop => runtime.drop_replica(group).await,
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
