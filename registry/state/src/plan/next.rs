//! The map that a change leads to.

use holdfast_domain::{GroupDescriptor, GroupId, MapEpoch, NodeId, Reason, ShardEpoch, ShardMap};

use super::{replicas, slots};
use crate::{map_change::MapChange, state::State};

/// The map that a change leads to.
///
/// # Errors
/// [`Reason::Conflict`] when the group is not in the state that the change needs, [`Reason::LastOne`] when no voter would be left,
/// [`Reason::NotFound`], [`Reason::EkBanned`], [`Reason::RoleMismatch`] for unfit nodes, [`Reason::WrapMismatch`] when a key would be
/// left without a way back.
pub fn next_map(state: &State, change: &MapChange) -> Result<ShardMap, Reason> {
    let mut map = match &state.map {
        Some((_, map)) => map.clone(),
        None => ShardMap {
            cluster: state.founded_or_refuse()?.genesis.cluster,
            lineage: state.lineage,
            epoch: MapEpoch(0),
            groups: Vec::new(),
            moves: Vec::new(),
        },
    };
    map.epoch = MapEpoch(map.epoch.0.checked_add(1).ok_or(Reason::Overloaded)?);
    match change {
        MapChange::Create(groups) => replicas::create(state, &mut map, groups)?,
        MapChange::Split { from, slots, nodes } => slots::split(state, &mut map, *from, slots, nodes)?,
        MapChange::Refound { group, nodes } => replicas::refound(state, &mut map, *group, nodes)?,
        MapChange::Add { group, target, replaces } => {
            replicas::add(state, &mut map, *group, *target, *replaces)?;
        }
        MapChange::Leave { group, replica } => replicas::leave(&mut map, *group, *replica)?,
        MapChange::Founded { group, replica } => replicas::founded(state, &mut map, *group, *replica)?,
        MapChange::Promoted { group, by: _, replica } => {
            replicas::promoted(state, &mut map, *group, *replica)?;
        }
        MapChange::Removed { group, by, replica } => replicas::removed(&mut map, *group, *by, *replica)?,
        MapChange::Lost { group, replica } => replicas::lost(&mut map, *group, *replica)?,
        MapChange::BeginSlotMove { from, to, slots } => slots::begin(&mut map, *from, *to, slots)?,
        MapChange::GiveUpSlotMove { from } => slots::give_up(state, &mut map, *from)?,
        MapChange::SlotsMoved { since, by: _ } => slots::moved(&mut map, *since)?,
        MapChange::SlotsKept { since, by: _ } => slots::kept(&mut map, *since)?,
        MapChange::Retire(group) => slots::retire(state, &mut map, *group)?,
        MapChange::Readdress(node) => readdress(state, &mut map, *node)?,
    }
    Ok(map)
}

fn readdress(state: &State, map: &mut ShardMap, node: NodeId) -> Result<(), Reason> {
    let address = &state.members.get(&node).ok_or(Reason::NotFound)?.address;
    for group in &mut map.groups {
        if let Some(replica) = group.replicas.iter_mut().find(|replica| replica.node == node)
            && replica.address != *address
        {
            replica.address.clone_from(address);
            group.epoch = ShardEpoch(group.epoch.0.saturating_add(1));
        }
    }
    Ok(())
}

/// A group that is about to change.
pub(super) fn changing(map: &mut ShardMap, group: GroupId) -> Result<&mut GroupDescriptor, Reason> {
    let group = map.groups.iter_mut().find(|known| known.group == group).ok_or(Reason::NotFound)?;
    group.epoch = ShardEpoch(group.epoch.0.saturating_add(1));
    Ok(group)
}
