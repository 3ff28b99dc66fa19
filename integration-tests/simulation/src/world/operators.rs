//! What operators want while things go wrong.

use holdfast_registry_state::{Standing, plan};

use super::World;
use crate::base::{NODES, node_id, operator};

impl World {
    pub(super) fn operate(&mut self, node: usize) {
        let Some((_, map)) = self.registry.state.map() else { return };
        let groups: Vec<_> = map.groups.iter().map(|group| group.group).collect();
        let (Some(group), Some(other)) =
            (self.chance.pick(&groups).copied(), self.chance.pick(&groups).copied())
        else {
            return;
        };
        let held: Vec<_> =
            map.group(group).map(|of| of.replicas.iter().map(|r| r.node).collect()).unwrap_or_default();
        let from = self.chance.pick(&held).copied();
        let state = &self.registry.state;
        let few = groups.len() < 6;
        let moving = map.moves.first().map(|slot_move| slot_move.from);
        // Moves are short: without this there would hardly ever be one to give up.
        let gives_up = moving.is_some() && self.chance.happens(300);
        let planned = match self.chance.below(12) {
            _ if gives_up => plan::plan_give_up(state, moving.unwrap_or(group)),
            0 | 1 => plan::plan_move(state, group, from, node_id(node)),
            2 => plan::plan_cancel(state, group),
            3..6 if few => plan::plan_split(state, group, &[]),
            6 | 7 => plan::plan_merge(state, group, other),
            8 => plan::plan_give_up(state, group),
            kind => {
                let standing = match kind {
                    9 if !self.is_anything_else(node) => Standing::Draining,
                    10 if !self.is_anything_else(node) => Standing::Cordoned,
                    _ => Standing::Serving,
                };
                self.registry.use_node(self.now, node, standing);
                return;
            }
        };
        if let Ok(Some(planned)) = planned {
            // Refused like any other caller when it does not fit.
            let _ = self.registry.put(self.now, operator(), planned);
            self.publish(false);
        }
    }

    /// Whether another node than this is drained or cordoned already.
    fn is_anything_else(&self, node: usize) -> bool {
        let mut others = (0..NODES).filter(|other| *other != node);
        others.any(|other| self.registry.state.node_use(node_id(other)).standing != Standing::Serving)
    }
}
