//! Plans: a change of the shard map together with the map that it leads to, to be signed and proposed.

mod next;
mod operators;
mod replicas;
mod slots;

use holdfast_domain::{MapEpoch, NodeId, Reason, ShardMap};

use crate::{map_change::MapChange, state::State};

pub use next::next_map;
pub(crate) use operators::split_target;
pub use operators::{plan_cancel, plan_give_up, plan_groups, plan_merge, plan_move, plan_split};
pub(crate) use replicas::{has_newcomer, staying};
pub(crate) use slots::is_idle;

/// A change with the map that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Epoch of the map that it replaces.
    pub expected: MapEpoch,
    /// The change.
    pub change: MapChange,
    /// The new map.
    pub map: ShardMap,
}

/// Plans a change.
///
/// # Errors
/// See [`next_map`].
pub fn plan(state: &State, change: MapChange) -> Result<Planned, Reason> {
    let map = next_map(state, &change)?;
    Ok(Planned { expected: state.map_epoch(), change, map })
}

/// Plans the correction of a machine's address in the map; `None` when it is right everywhere.
///
/// # Errors
/// See [`next_map`].
pub fn plan_readdress(state: &State, node: NodeId) -> Result<Option<Planned>, Reason> {
    let address = &state.members.get(&node).ok_or(Reason::NotFound)?.address;
    let mut replicas = state.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
    let wrong = replicas.any(|replica| replica.node == node && replica.address != *address);
    if wrong { plan(state, MapChange::Readdress(node)).map(Some) } else { Ok(None) }
}
