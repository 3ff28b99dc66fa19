//! The end of a run: no more faults, and what there is to become of everything.

use std::collections::BTreeSet;

use holdfast_domain::{GroupDescriptor, GroupId, ReplicaId};
use holdfast_registry_state::{Standing, placement};

use super::World;
use crate::{
    base::{NODES, node_id},
    node::{SLOTS, holds},
    raft::{Config, Replica},
};

impl World {
    /// No faults from here on; only what is gone for ever stays so.
    pub(super) fn calm(&mut self) {
        self.network.calm = true;
        self.registry.down_until = 0;
        for node in 0..NODES {
            self.registry.use_node(self.now, node, Standing::Serving);
            if !self.dead.contains(&node) {
                self.nodes[node].up = true;
            }
        }
    }

    /// A group for whoever looks for the reason.
    fn shown(&self, group: &GroupDescriptor) -> String {
        let of_map = group.replicas.iter().map(|of| format!("{} {:?}", of.replica, of.state));
        let held = self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let own = node.replicas.values().filter(|replica| replica.group == group.group);
            own.map(move |replica| format!("node {place} up {}: {replica}", node.up))
        });
        of_map.chain(held).collect::<Vec<_>>().join("; ")
    }

    /// What is not at rest yet.
    pub(super) fn unrest(&self) -> Option<String> {
        let state = &self.registry.state;
        let (_, map) = state.map()?;
        for group in &map.groups {
            let id = group.group;
            if !group.is_settled() || group.voters().count() != usize::from(state.wanted(id)) {
                return Some(format!("group {id} is not complete: {}", self.shown(group)));
            }
            let wanted: BTreeSet<_> = group.voters().map(|voter| voter.replica).collect();
            let replicas = self.nodes.iter().filter(|node| node.up).flat_map(|node| node.replicas.values());
            let agrees = |leader: &Replica| {
                let Config { voters, learners } = leader.config();
                learners.is_empty() && voters.into_keys().collect::<BTreeSet<_>>() == wanted
            };
            if !replicas.filter(|replica| replica.group == id && replica.leads_surely()).any(agrees) {
                return Some(format!(
                    "group {id} has another membership than the map: {}",
                    self.shown(group)
                ));
            }
            if state.is_rotating(id) {
                return Some(format!("the key of group {id} is not replaced"));
            }
        }
        if let Some(slot_move) = map.moves.first() {
            return Some(format!("{slot_move:?} has not ended"));
        }
        let dead: BTreeSet<_> = self.dead.iter().map(|node| node_id(*node)).collect();
        if let Some(drop) = state.dropping().find(|(_, _, node)| !dead.contains(node)) {
            return Some(format!("{drop:?} is not deleted"));
        }
        if let Some(change) = placement::next(state, &self.registry.observed(self.now)) {
            return Some(format!("placement wants {change:?}"));
        }
        let wrong = SLOTS.into_iter().find(|slot| {
            let owner = map.groups.iter().find(|group| holds(group, *slot)).map(|group| group.group);
            self.oracle.owner(*slot) != owner
        });
        wrong.map(|slot| {
            format!("slot {slot} is served by {:?}: {}", self.oracle.owner(slot), self.oracle.shown(slot))
        })
    }

    /// Whether a group's newest membership has no majority of intact logs.
    pub(super) fn is_halved(&self) -> bool {
        let intact = |group: GroupId, id: ReplicaId, node: usize| {
            let floor = self.floors.get(&id).copied().unwrap_or_default();
            let held = self.nodes[node].replicas.get(&(group, id)).is_some_and(|own| own.held() >= floor);
            held && !self.dead.contains(&node)
        };
        let groups = self.registry.state.map().into_iter().flat_map(|(_, map)| &map.groups);
        groups.map(|group| group.group).any(|group| {
            let replicas = self.nodes.iter().flat_map(|node| node.replicas.values());
            let newest =
                replicas.filter(|replica| replica.group == group).max_by_key(|replica| replica.last());
            newest.is_some_and(|newest| {
                let voters = newest.config().voters;
                let left = voters.iter().filter(|(id, node)| intact(group, **id, **node)).count();
                left * 2 <= voters.len()
            })
        })
    }
}
