//! Evening out, by (replicas of a group that share a zone, number of replicas, bytes), in this order. Bytes are evened out only where the
//! numbers stay as even as they are, and only when it is worth the copying.

use super::model::{Model, Step};
use crate::limits;

/// The move that improves most; `None` at rest.
pub(super) fn improve(model: &Model) -> Option<Step> {
    let total: u64 = model.nodes.values().map(|node| node.bytes).fold(0, u64::saturating_add);
    let mean = total / u64::try_from(model.nodes.len().max(1)).unwrap_or(u64::MAX);
    let worth = (mean / 5).max(limits::WORTH_MOVING);
    let mut best: Option<(Gain, Step)> = None;
    for group in model.groups.iter().filter(|group| group.settled) {
        for (replica, from) in &group.replicas {
            let Some(source) = model.nodes.get(from) else { continue };
            if source.leave.is_some() || model.is_busy(*from) {
                continue;
            }
            let others: Vec<_> =
                group.replicas.iter().map(|(_, node)| *node).filter(|node| node != from).collect();
            let shared = signed(model.sharing(&others, model.zone(*from)));
            let targets = model
                .nodes
                .iter()
                .filter(|(id, node)| node.has_room(group.bytes) && *id != from && !others.contains(id));
            for (target, node) in targets {
                let gain = Gain {
                    zones: shared.saturating_sub(signed(model.sharing(&others, model.zone(*target)))),
                    numbers: signed(source.replicas).saturating_sub(signed(node.replicas)).saturating_sub(1),
                    bytes: source.bytes.saturating_sub(node.bytes).saturating_sub(group.bytes),
                };
                let step = Step { group: group.id, replica: *replica, from: *from, target: *target };
                if gain.is_worth(group.bytes, worth) && best.is_none_or(|(known, _)| gain > known) {
                    best = Some((gain, step));
                }
            }
        }
    }
    best.map(|(_, step)| step)
}

/// Compared field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gain {
    zones: i64,
    /// 0 swaps the numbers of the two nodes, more makes them more even.
    numbers: i64,
    bytes: u64,
}

impl Gain {
    const fn is_worth(&self, moved: u64, worth: u64) -> bool {
        match (self.zones, self.numbers) {
            (1.., _) => true,
            (0, 1..) => true,
            (0, 0) => moved > 0 && self.bytes > worth,
            _ => false,
        }
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
