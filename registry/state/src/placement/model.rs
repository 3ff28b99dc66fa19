//! The cluster as placement sees it: each replica where it will be when everything under way is done.

use std::collections::BTreeMap;

use holdfast_domain::{GroupDescriptor, GroupId, NodeId, NodeRole, ReplicaId, ReplicaState, TpmClass};

use super::Observed;
use crate::{limits, shards::Standing, state::State};

/// Why replicas must not stay on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Nobody talks to it any more.
    Banned,
    /// It is gone.
    Lost,
    /// An operator wants it empty.
    Draining,
    /// Its TPM is of a lesser class than a module demands.
    Class,
}

pub(super) struct Node {
    zone: String,
    pub(super) leave: Option<Leave>,
    may_get: bool,
    free: Option<u64>,
    pub(super) replicas: usize,
    pub(super) bytes: u64,
    /// Replicas that come or go.
    motion: usize,
}

pub(super) struct Group {
    pub(super) id: GroupId,
    pub(super) settled: bool,
    pub(super) bytes: u64,
    pub(super) replicas: Vec<(ReplicaId, NodeId)>,
}

pub(super) struct Model {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) groups: Vec<Group>,
}

/// A replica's move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) group: GroupId,
    pub(super) replica: ReplicaId,
    pub(super) from: NodeId,
    pub(super) target: NodeId,
}

impl Model {
    /// Without observations every node passes for alive.
    pub(super) fn of(state: &State, observed: Option<&Observed>) -> Self {
        let hardware = state.members().any(|(node, member)| {
            let usage = state.node_use(node);
            let counts = !usage.lost && usage.standing != Standing::Removed && !state.node_banned(node);
            member.role == NodeRole::Node && counts && usage.demands_hardware
        });
        let members = state.members().filter(|(_, member)| member.role == NodeRole::Node);
        let nodes = members.map(|(id, member)| {
            let usage = state.node_use(id);
            let alive = observed.is_none_or(|observed| observed.alive.contains(&id));
            let leave = if state.node_banned(id) {
                Some(Leave::Banned)
            } else if usage.lost {
                Some(Leave::Lost)
            } else if matches!(usage.standing, Standing::Draining | Standing::Removed) {
                Some(Leave::Draining)
            } else if hardware && member.class != TpmClass::Hardware {
                Some(Leave::Class)
            } else {
                None
            };
            let may_get = leave.is_none() && alive && usage.standing == Standing::Serving;
            let free = observed.and_then(|observed| observed.free.get(&id).copied());
            (id, Node { zone: usage.zone, leave, may_get, free, replicas: 0, bytes: 0, motion: 0 })
        });
        let mut model = Self { nodes: nodes.collect(), groups: Vec::new() };
        let groups = state.map().into_iter().flat_map(|(_, map)| &map.groups);
        groups.for_each(|group| model.include(state, observed, group));
        model
    }

    fn include(&mut self, state: &State, observed: Option<&Observed>, group: &GroupDescriptor) {
        let id = group.group;
        let bytes = observed.and_then(|observed| observed.bytes.get(&id).copied()).unwrap_or_default();
        let mut replicas = Vec::with_capacity(group.replicas.len());
        for replica in &group.replicas {
            let replaced = state.is_replaced(id, replica.replica);
            let stays = replica.state != ReplicaState::Leaving && !replaced;
            let moves = replica.state != ReplicaState::Voter || replaced;
            if let Some(node) = self.nodes.get_mut(&replica.node) {
                node.replicas = node.replicas.saturating_add(usize::from(stays));
                node.bytes = node.bytes.saturating_add(if stays { bytes } else { 0 });
                node.motion = node.motion.saturating_add(usize::from(moves));
            }
            if stays {
                replicas.push((replica.replica, replica.node));
            }
        }
        self.groups.push(Group { id, settled: group.is_settled(), bytes, replicas });
    }

    /// The best node for one more replica of a group that is on these already.
    pub(super) fn best(&self, beside: &[NodeId], bytes: u64) -> Option<NodeId> {
        let fit = self.nodes.iter().filter(|(id, node)| node.has_room(bytes) && !beside.contains(id));
        let best =
            fit.min_by_key(|(id, node)| (self.sharing(beside, &node.zone), node.replicas, node.bytes, **id));
        best.map(|(id, _)| *id)
    }

    /// Whether a node beside these takes replicas, now or when it is less busy.
    pub(super) fn will_have_room(&self, beside: &[NodeId]) -> bool {
        self.nodes.iter().any(|(id, node)| node.may_get && !beside.contains(id))
    }

    /// How many of these nodes are in a zone.
    pub(super) fn sharing(&self, nodes: &[NodeId], zone: &str) -> usize {
        nodes.iter().filter(|node| self.nodes.get(node).is_some_and(|node| node.zone == zone)).count()
    }

    pub(super) fn zone(&self, node: NodeId) -> &str {
        self.nodes.get(&node).map_or("", |node| &node.zone)
    }

    pub(super) fn is_busy(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|node| node.motion >= limits::MAX_MOTION)
    }

    pub(super) fn count(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.replicas = node.replicas.saturating_add(1);
        }
    }

    /// As if a move were done.
    pub(super) fn relocate(&mut self, step: &Step) {
        let Some(group) = self.groups.iter_mut().find(|group| group.id == step.group) else { return };
        group.settled = false;
        group.replicas.retain(|(replica, _)| *replica != step.replica);
        group.replicas.push((step.replica, step.target));
        let bytes = group.bytes;
        if let Some(from) = self.nodes.get_mut(&step.from) {
            (from.replicas, from.bytes) = (from.replicas.saturating_sub(1), from.bytes.saturating_sub(bytes));
        }
        if let Some(target) = self.nodes.get_mut(&step.target) {
            target.replicas = target.replicas.saturating_add(1);
            target.bytes = target.bytes.saturating_add(bytes);
        }
    }
}

impl Node {
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let space = self.free.is_none_or(|free| free > bytes.saturating_add(limits::DISK_RESERVE));
        self.may_get && self.motion < limits::MAX_MOTION && space
    }
}
