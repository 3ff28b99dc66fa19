//! Changes of who has which slots. A move is an intent in the map; who has the slots changes in one step at its end, which only the
//! target's log decides.

use holdfast_domain::{
    GroupDescriptor, GroupId, MapEpoch, NodeId, Reason, ShardEpoch, ShardMap, Slot, SlotMove, map::MAX_MOVES,
};

use super::{next::changing, replicas::first_replicas};
use crate::{limits, shards::has, state::State};

type Ranges = [(Slot, Slot)];

pub(super) fn split(
    state: &State,
    map: &mut ShardMap,
    from: GroupId,
    slots: &Ranges,
    nodes: &[NodeId],
) -> Result<(), Reason> {
    let source = map.group(from).ok_or(Reason::NotFound)?;
    check_slots(source, slots)?;
    let busy = map.move_of(from).is_some() || state.shards.splits.values().any(|(of, _)| *of == from);
    if busy || map.moves.len().saturating_add(state.shards.splits.len()) >= MAX_MOVES {
        return Err(Reason::Conflict);
    }
    let all: u32 = slots.iter().map(|range| width(*range)).sum();
    if all >= source.slot_count() || map.groups.len() >= limits::MAX_GROUPS {
        return Err(Reason::Malformed);
    }
    let replicas = first_replicas(state, nodes, &mut state.next_replica.clone())?;
    let group = GroupId(state.shards.next_group.max(1));
    map.groups.push(GroupDescriptor { group, epoch: ShardEpoch(1), slots: Vec::new(), replicas });
    Ok(())
}

/// The target must be complete: what it acknowledges from its first moment on it acknowledges with all its replicas.
pub(super) fn begin(map: &mut ShardMap, from: GroupId, to: GroupId, slots: &Ranges) -> Result<(), Reason> {
    let source = map.group(from).ok_or(Reason::NotFound)?;
    let target = map.group(to).ok_or(Reason::NotFound)?;
    check_slots(source, slots)?;
    let busy = map.move_of(from).is_some() || map.move_of(to).is_some() || from == to;
    if busy || source.is_new() || !target.is_settled() || map.moves.len() >= MAX_MOVES {
        return Err(Reason::Conflict);
    }
    let since = map.epoch;
    map.moves.push(SlotMove { since, from, to, slots: slots.to_vec(), give_up: false });
    Ok(())
}

/// A move under way is marked; a split whose group is not ready yet is forgotten beside the map.
pub(super) fn give_up(state: &State, map: &mut ShardMap, from: GroupId) -> Result<(), Reason> {
    if let Some(slot_move) = map.moves.iter_mut().find(|slot_move| slot_move.from == from) {
        let again = std::mem::replace(&mut slot_move.give_up, true);
        return if again { Err(Reason::Conflict) } else { Ok(()) };
    }
    if state.shards.splits.values().any(|(of, _)| *of == from) { Ok(()) } else { Err(Reason::NotFound) }
}

pub(super) fn moved(map: &mut ShardMap, since: MapEpoch) -> Result<(), Reason> {
    let SlotMove { since: _, from, to, slots, give_up: _ } = end(map, since)?;
    let source = changing(map, from)?;
    source.slots = without(&source.slots, &slots);
    let target = changing(map, to)?;
    target.slots = with(&target.slots, &slots);
    Ok(())
}

pub(super) fn kept(map: &mut ShardMap, since: MapEpoch) -> Result<(), Reason> {
    if end(map, since)?.give_up { Ok(()) } else { Err(Reason::Conflict) }
}

fn end(map: &mut ShardMap, since: MapEpoch) -> Result<SlotMove, Reason> {
    let place = map.moves.iter().position(|slot_move| slot_move.since == since).ok_or(Reason::NotFound)?;
    Ok(map.moves.remove(place))
}

/// Without slots and without any to come.
pub(crate) fn is_idle(state: &State, map: &ShardMap, group: &GroupDescriptor) -> bool {
    let awaits = state.shards.splits.contains_key(&group.group);
    group.slots.is_empty() && map.move_of(group.group).is_none() && !awaits
}

pub(super) fn retire(state: &State, map: &mut ShardMap, id: GroupId) -> Result<(), Reason> {
    let group = map.group(id).ok_or(Reason::NotFound)?;
    if !is_idle(state, map, group) {
        return Err(Reason::NotEmpty);
    }
    map.groups.retain(|group| group.group != id);
    Ok(())
}

fn check_slots(source: &GroupDescriptor, slots: &Ranges) -> Result<(), Reason> {
    let ascending = slots.iter().zip(slots.iter().skip(1)).all(|(one, next)| one.1 < next.0);
    if slots.is_empty() || !ascending {
        return Err(Reason::Malformed);
    }
    if slots.iter().all(|range| has(source, *range)) { Ok(()) } else { Err(Reason::Conflict) }
}

fn width((first, last): (Slot, Slot)) -> u32 {
    u32::from(last.number()).saturating_sub(first.number().into()).saturating_add(1)
}

fn without(own: &Ranges, gone: &Ranges) -> Vec<(Slot, Slot)> {
    let mut held = members(own);
    members(gone).iter().zip(&mut held).for_each(|(gone, held)| *held = *held && !gone);
    ranges(&held)
}

fn with(own: &Ranges, more: &Ranges) -> Vec<(Slot, Slot)> {
    let mut held = members(own);
    members(more).iter().zip(&mut held).for_each(|(more, held)| *held = *held || *more);
    ranges(&held)
}

/// Which of all slots are in the ranges.
fn members(ranges: &Ranges) -> Vec<bool> {
    let inside =
        |slot: u16| ranges.iter().any(|(first, last)| (first.number()..=last.number()).contains(&slot));
    (0..Slot::COUNT).map(inside).collect()
}

fn ranges(held: &[bool]) -> Vec<(Slot, Slot)> {
    let mut ranges: Vec<(Slot, Slot)> = Vec::new();
    let slots = (0..Slot::COUNT).filter_map(|number| Slot::try_from(number).ok()).zip(held);
    for (slot, _) in slots.filter(|(_, held)| **held) {
        match ranges.last_mut() {
            Some((_, last)) if last.number().saturating_add(1) == slot.number() => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    ranges
}
