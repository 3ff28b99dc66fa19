//! What must be done: ends of what is under way, and replicas that are missing or where they must not stay.

use holdfast_domain::{GroupDescriptor, NodeId, ReplicaDescriptor, ReplicaState, ShardMap};

use super::{
    model::{Leave, Model},
    new_groups,
};
use crate::{
    map_change::MapChange,
    plan::{has_newcomer, is_idle, staying},
    state::State,
};

type Steps<'a> = Box<dyn Iterator<Item = MapChange> + 'a>;

/// Candidates, most urgent first.
pub(super) fn changes<'a>(state: &'a State, map: &'a ShardMap, model: &'a Model) -> Steps<'a> {
    let each = move |step: fn(&State, &Model, &GroupDescriptor) -> Option<MapChange>| {
        map.groups.iter().filter_map(move |group| step(state, model, group))
    };
    let retired = map.groups.iter().filter(|group| is_idle(state, map, group));
    // Those whose group is not complete yet are passed over when the change is planned.
    let begun = state.shards.splits.iter().map(|(to, (from, slots))| MapChange::BeginSlotMove {
        from: *from,
        to: *to,
        slots: slots.clone(),
    });
    let ends = retired.map(|group| MapChange::Retire(group.group)).chain(begun);
    Box::new(
        ends.chain(each(give_up))
            .chain(each(expel))
            .chain(each(replace_lost))
            .chain(each(fill))
            .chain(each(vacate)),
    )
}

fn leave_of(model: &Model, replica: &ReplicaDescriptor) -> Option<Leave> {
    // A machine that is no shard node any more counts as lost.
    model.nodes.get(&replica.node).map_or(Some(Leave::Lost), |node| node.leave)
}

fn nodes(group: &GroupDescriptor) -> Vec<NodeId> {
    group.replicas.iter().map(|replica| replica.node).collect()
}

/// Newcomers that will not come, and founders that are gone.
fn give_up(state: &State, model: &Model, group: &GroupDescriptor) -> Option<MapChange> {
    let hopeless = |replica: &&ReplicaDescriptor| match (replica.state, leave_of(model, replica)) {
        (ReplicaState::Founding, leave) => matches!(leave, Some(Leave::Banned | Leave::Lost)),
        (ReplicaState::Learner, leave) => leave.is_some(),
        (ReplicaState::Voter | ReplicaState::Leaving, _) => false,
    };
    let hopeless = group.replicas.iter().find(hopeless)?;
    let group = group.group;
    if hopeless.state == ReplicaState::Learner {
        return Some(MapChange::Leave { group, replica: hopeless.replica });
    }
    let nodes = new_groups(state, 1, state.wanted(group).into())?.pop()?;
    Some(MapChange::Refound { group, nodes })
}

/// Nobody answers a banned machine: taking its replica out costs nothing, and its key is replaced sooner.
fn expel(_: &State, model: &Model, group: &GroupDescriptor) -> Option<MapChange> {
    let banned = group.voters().find(|voter| leave_of(model, voter) == Some(Leave::Banned))?;
    Some(MapChange::Leave { group: group.group, replica: banned.replica })
}

/// Only while the others can still agree on anything.
fn replace_lost(_: &State, model: &Model, group: &GroupDescriptor) -> Option<MapChange> {
    let lost = |voter: &&ReplicaDescriptor| leave_of(model, voter) == Some(Leave::Lost);
    let gone = group.voters().filter(lost).count();
    if gone.saturating_mul(2) >= group.voters().count() {
        return None;
    }
    replace(model, group, group.voters().find(lost)?)
}

fn fill(state: &State, model: &Model, group: &GroupDescriptor) -> Option<MapChange> {
    if staying(group) >= state.wanted(group.group).into() || has_newcomer(group) {
        return None;
    }
    let target = model.best(&nodes(group), bytes(model, group))?;
    Some(MapChange::Add { group: group.group, target, replaces: None })
}

/// Without another node, a draining one gives its replica up while most of the wanted ones remain.
fn vacate(state: &State, model: &Model, group: &GroupDescriptor) -> Option<MapChange> {
    let misplaced =
        |voter: &&ReplicaDescriptor| matches!(leave_of(model, voter), Some(Leave::Draining | Leave::Class));
    let replica = group.voters().find(misplaced)?;
    if !group.is_settled() || model.is_busy(replica.node) {
        return None;
    }
    let others = group.voters().count().saturating_sub(1);
    let enough = others.saturating_mul(2) > usize::from(state.wanted(group.group));
    let leave = leave_of(model, replica) == Some(Leave::Draining) && enough && others > 0;
    let leave = leave.then_some(MapChange::Leave { group: group.group, replica: replica.replica });
    // A node that is only busy now has room later.
    replace(model, group, replica).or_else(|| leave.filter(|_| !model.will_have_room(&nodes(group))))
}

fn replace(model: &Model, group: &GroupDescriptor, replica: &ReplicaDescriptor) -> Option<MapChange> {
    if !group.is_settled() {
        return None;
    }
    let stay: Vec<_> = nodes(group).into_iter().filter(|node| *node != replica.node).collect();
    let target = model.best(&stay, bytes(model, group))?;
    Some(MapChange::Add { group: group.group, target, replaces: Some(replica.replica) })
}

fn bytes(model: &Model, group: &GroupDescriptor) -> u64 {
    model.groups.iter().find(|known| known.id == group.group).map_or(0, |known| known.bytes)
}
