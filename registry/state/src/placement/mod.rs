//! Where replicas should be: what the leading voter does next, computed from the state and from what nodes said lately.
//!
//! Pure, and never more than one change at a time: after each the leader looks again. Every change brings the cluster nearer to rest:
//! repairs end because there are finitely many replicas on nodes that must be left, and evening out ends because each move lessens
//! (replicas of a group that share a zone, unevenness of numbers, unevenness of bytes) in that order.

mod balance;
mod model;
mod repair;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupId, NodeId};

use crate::{map_change::MapChange, plan, state::State};
use model::Model;

/// What nodes said lately: soft state of the voter that leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Nodes that were heard of.
    pub alive: BTreeSet<NodeId>,
    /// Bytes of one replica of each group.
    pub bytes: BTreeMap<GroupId, u64>,
    /// What is left on the nodes' disks.
    pub free: BTreeMap<NodeId, u64>,
}

/// A move that would even the cluster out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedMove {
    /// The group.
    pub group: GroupId,
    /// The replica's machine.
    pub from: NodeId,
    /// Its next one.
    pub target: NodeId,
}

/// The next change, if anything is to be done. What is urgent comes first: ends of what is under way, then what endangers data, then
/// what is uneven.
pub fn next(state: &State, observed: &Observed) -> Option<MapChange> {
    let (_, map) = state.map.as_ref()?;
    let model = Model::of(state, Some(observed));
    let urgent = repair::changes(state, map, &model);
    let even = std::iter::once_with(|| balance::improve(&model)).flatten();
    let even = even.map(|step| MapChange::Add {
        group: step.group,
        target: step.target,
        replaces: Some(step.replica),
    });
    urgent.chain(even).find(|change| plan::next_map(state, change).is_ok())
}

/// All moves that would even the cluster out, one after the other.
pub fn rebalance(state: &State, observed: &Observed) -> Vec<PlannedMove> {
    let mut model = Model::of(state, Some(observed));
    let mut moves = Vec::new();
    while moves.len() < crate::limits::MAX_PLANNED_MOVES
        && let Some(step) = balance::improve(&model)
    {
        moves.push(PlannedMove { group: step.group, from: step.from, target: step.target });
        model.relocate(&step);
    }
    moves
}

/// Machines for new groups, each on as many as asked for, its founder first; `None` if there are too few.
pub(crate) fn new_groups(state: &State, count: usize, replicas: usize) -> Option<Vec<Vec<NodeId>>> {
    let mut model = Model::of(state, None);
    let mut founding: BTreeMap<NodeId, usize> = BTreeMap::new();
    (0..count)
        .map(|_| {
            let mut nodes = Vec::with_capacity(replicas);
            while nodes.len() < replicas {
                let node = model.best(&nodes, 0)?;
                model.count(node);
                nodes.push(node);
            }
            // Founders lead at first: those are evened out too.
            nodes.sort_by_key(|node| (founding.get(node).copied().unwrap_or_default(), *node));
            let founder = founding.entry(*nodes.first()?).or_default();
            *founder = founder.saturating_add(1);
            Some(nodes)
        })
        .collect()
}
