//! What the registry wants of a node; computed from the map, so that a task stays until the state says it is done.

use holdfast_domain::{GroupDescriptor, GroupId, NodeId, ReplicaDescriptor, ReplicaId, ReplicaState};

use crate::state::State;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskKind {
    /// Make the group's key and its first replica.
    Found,
    /// Wrap the key to the target, add it, promote it, leave, report.
    HandOver,
    /// Give a hand-over up: remove the learner and report, or report the hand-over if the learner votes already.
    Withdraw,
    /// Fetch the wrap and become a learner.
    Receive,
    /// Delete the replica.
    Drop,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// In which group.
    pub group: GroupId,
    /// What.
    pub kind: TaskKind,
    /// The newcomer of a hand-over, also of one to be given up; in all other tasks the node itself.
    pub target: NodeId,
    /// The newcomer's replica; in all other tasks the node's own.
    pub replica: ReplicaId,
    /// Where the target listens; empty for a drop.
    pub address: String,
}

impl State {
    /// The tasks of one node, in the order of groups; none for a node that is banned.
    pub fn tasks_for(&self, node: NodeId) -> Vec<Task> {
        if self.node_banned(node) {
            return Vec::new();
        }
        let groups = self.map.iter().flat_map(|(_, map)| &map.groups);
        let mut tasks: Vec<_> =
            groups.flat_map(|group| tasks_in(group, node, self.cancelled.contains(&group.group))).collect();
        let drops = self.dropping.iter().filter(|(_, holder)| **holder == node);
        tasks.extend(drops.map(|((group, replica), _)| Task {
            group: *group,
            kind: TaskKind::Drop,
            target: node,
            replica: *replica,
            address: String::new(),
        }));
        tasks
    }
}

fn tasks_in(group: &GroupDescriptor, node: NodeId, cancelled: bool) -> Vec<Task> {
    let task = |kind, of: &ReplicaDescriptor| Task {
        group: group.group,
        kind,
        target: of.node,
        replica: of.replica,
        address: of.address.clone(),
    };
    let learner = group.replicas.iter().find(|replica| replica.state == ReplicaState::Learner);
    let own = group.replicas.iter().filter(|replica| replica.node == node);
    own.filter_map(|replica| match replica.state {
        ReplicaState::Founding => Some(task(TaskKind::Found, replica)),
        ReplicaState::Learner => Some(task(TaskKind::Receive, replica)),
        ReplicaState::Voter => {
            let kind = if cancelled { TaskKind::Withdraw } else { TaskKind::HandOver };
            learner.map(|learner| task(kind, learner))
        }
        ReplicaState::Leaving => None,
    })
    .collect()
}
