//! Who answered for each group the last time: asked first the next time.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use holdfast_domain::{GroupId, NodeId};

/// One entry a group at most, and there are no more groups than slots.
#[derive(Default)]
pub(crate) struct Leaders(Mutex<BTreeMap<GroupId, NodeId>>);

impl Leaders {
    pub(crate) fn of(&self, group: GroupId) -> Option<NodeId> {
        self.lock().get(&group).copied()
    }

    pub(crate) fn answered(&self, group: GroupId, node: NodeId) {
        self.lock().insert(group, node);
    }

    /// Forgets it, unless somebody else answered meanwhile.
    pub(crate) fn was_silent(&self, group: GroupId, node: NodeId) {
        let mut leaders = self.lock();
        if leaders.get(&group) == Some(&node) {
            leaders.remove(&group);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GroupId, NodeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
