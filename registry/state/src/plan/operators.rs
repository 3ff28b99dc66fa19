//! What operators ask for. Each may be asked for again: what is so already needs no plan.

use holdfast_domain::{GroupDescriptor, GroupId, NodeId, Reason, ReplicaState, ShardMap, Slot};

use super::{Planned, plan};
use crate::{limits, map_change::MapChange, placement, state::State};

/// Plans the first groups, each of as many replicas, over the nodes.
///
/// # Errors
/// [`Reason::NotReady`] without enough nodes; otherwise see [`super::next_map`].
pub fn plan_groups(state: &State, count: u32, replicas: u32) -> Result<Planned, Reason> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count == 0 || count > limits::MAX_GROUPS || !matches!(replicas, 1 | 3 | 5) {
        return Err(Reason::Malformed);
    }
    if state.map.as_ref().is_some_and(|(_, map)| !map.groups.is_empty()) {
        return Err(Reason::Conflict);
    }
    let replicas = usize::try_from(replicas).unwrap_or(usize::MAX);
    let groups = placement::new_groups(state, count, replicas).ok_or(Reason::NotReady)?;
    plan(state, MapChange::Create(groups))
}

/// Plans a replica's move; `from` may be left out where there is one replica.
///
/// # Errors
/// See [`super::next_map`].
pub fn plan_move(
    state: &State,
    group: GroupId,
    from: Option<NodeId>,
    target: NodeId,
) -> Result<Option<Planned>, Reason> {
    let descriptor = current(state, group)?;
    let there = descriptor.on(target);
    let from = match (from, descriptor.replicas.as_slice()) {
        (Some(from), _) => descriptor.on(from),
        (None, [only]) => Some(only),
        (None, [one, other]) if there.is_some() => Some(if one.node == target { other } else { one }),
        (None, _) => return Err(Reason::Malformed),
    };
    match (from, there) {
        // Done, or on its way.
        (None, Some(there)) if there.state != ReplicaState::Leaving => Ok(None),
        (Some(from), Some(there)) if from.replica == there.replica => Ok(None),
        (Some(from), Some(there)) if state.replaced_by(group, there.replica) == Some(from.replica) => {
            Ok(None)
        }
        (Some(from), Some(there))
            if from.state == ReplicaState::Leaving && there.state == ReplicaState::Voter =>
        {
            Ok(None)
        }
        (Some(from), None) => {
            let replaces = Some(from.replica);
            plan(state, MapChange::Add { group, target, replaces }).map(Some)
        }
        (None, None) => Err(Reason::NotFound),
        (None | Some(_), Some(_)) => Err(Reason::Conflict),
    }
}

/// Plans the end of a group's move: its newcomer leaves again.
///
/// # Errors
/// See [`super::next_map`].
pub fn plan_cancel(state: &State, group: GroupId) -> Result<Option<Planned>, Reason> {
    let descriptor = current(state, group)?;
    let newcomer = descriptor.replicas.iter().find(|replica| {
        replica.state == ReplicaState::Learner && state.replaced_by(group, replica.replica).is_some()
    });
    let leave = |replica| plan(state, MapChange::Leave { group, replica });
    newcomer.map(|newcomer| leave(newcomer.replica)).transpose()
}

/// Plans a new group for some of a group's slots, the upper half if none are named; `None` while such a split is under way.
///
/// # Errors
/// See [`super::next_map`].
pub fn plan_split(state: &State, from: GroupId, slots: &[(Slot, Slot)]) -> Result<Option<Planned>, Reason> {
    let source = current(state, from)?;
    if split_target(state, from).is_some() {
        return Ok(None);
    }
    let slots = if slots.is_empty() { upper_half(source) } else { slots.to_vec() };
    let wanted = usize::from(state.wanted(from));
    let nodes = placement::new_groups(state, 1, wanted).and_then(|mut groups| groups.pop());
    let change = MapChange::Split { from, slots, nodes: nodes.ok_or(Reason::NotReady)? };
    plan(state, change).map(Some)
}

/// The group that a group's slots are going to.
pub(crate) fn split_target(state: &State, from: GroupId) -> Option<GroupId> {
    let awaited = state.shards.splits.iter().find(|(_, (of, _))| *of == from).map(|(to, _)| *to);
    let moving = || {
        let (_, map) = state.map.as_ref()?;
        map.moves.iter().find(|slot_move| slot_move.from == from).map(|slot_move| slot_move.to)
    };
    awaited.or_else(moving)
}

/// Plans the move of all of a group's slots to another; `None` while that is under way.
///
/// # Errors
/// See [`super::next_map`].
pub fn plan_merge(state: &State, from: GroupId, to: GroupId) -> Result<Option<Planned>, Reason> {
    let source = current(state, from)?;
    let same = |map: &ShardMap| map.moves.iter().any(|known| (known.from, known.to) == (from, to));
    if state.map.as_ref().is_some_and(|(_, map)| same(map)) {
        return Ok(None);
    }
    plan(state, MapChange::BeginSlotMove { from, to, slots: source.slots.clone() }).map(Some)
}

/// Plans to give up what moves slots away from a group; `None` if that is so already, or nothing does.
///
/// # Errors
/// See [`super::next_map`].
pub fn plan_give_up(state: &State, from: GroupId) -> Result<Option<Planned>, Reason> {
    current(state, from)?;
    let given_up = |map: &ShardMap| map.moves.iter().any(|known| known.from == from && known.give_up);
    if state.map.as_ref().is_some_and(|(_, map)| given_up(map)) {
        return Ok(None);
    }
    match plan(state, MapChange::GiveUpSlotMove { from }) {
        // None leave: it was given up before, or is over.
        Err(Reason::NotFound) => Ok(None),
        planned => planned.map(Some),
    }
}

fn upper_half(source: &GroupDescriptor) -> Vec<(Slot, Slot)> {
    let mut skip = source.slot_count() / 2;
    let mut half = Vec::new();
    for (first, last) in &source.slots {
        let width = u32::from(last.number().saturating_sub(first.number())).saturating_add(1);
        if skip >= width {
            skip = skip.saturating_sub(width);
            continue;
        }
        let begin = u32::from(first.number()).saturating_add(skip);
        if let Some(begin) = u16::try_from(begin).ok().and_then(|begin| Slot::try_from(begin).ok()) {
            half.push((begin, *last));
        }
        skip = 0;
    }
    half
}

fn current(state: &State, group: GroupId) -> Result<&GroupDescriptor, Reason> {
    state.map.as_ref().and_then(|(_, map)| map.group(group)).ok_or(Reason::NotFound)
}
