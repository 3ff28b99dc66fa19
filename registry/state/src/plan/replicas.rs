//! Changes of a group's replicas. One newcomer at a time, but for the learners of a new group, and no voter is asked to leave while
//! anything else is under way, but for what is lost: a quorum never hangs on two newcomers.

use std::collections::BTreeSet;

use holdfast_domain::{
    GroupDescriptor, GroupId, KeySubject, NodeId, NodeRole, Reason, ReplicaDescriptor, ReplicaId,
    ReplicaState, ShardEpoch, ShardMap, map,
};

use super::next::changing;
use crate::{limits, state::State, wraps::Recipient};

pub(super) fn create(state: &State, map: &mut ShardMap, groups: &[Vec<NodeId>]) -> Result<(), Reason> {
    if !map.groups.is_empty() || groups.is_empty() || groups.len() > limits::MAX_GROUPS {
        return Err(if map.groups.is_empty() { Reason::Malformed } else { Reason::Conflict });
    }
    let count = u32::try_from(groups.len()).map_err(|_| Reason::Malformed)?;
    let mut next = state.next_replica;
    for (index, nodes) in (0_u32..).zip(groups) {
        let slots = map::even_slots(index, count).ok_or(Reason::Malformed)?;
        let group = GroupId(state.shards.next_group.max(1).saturating_add(index));
        let replicas = first_replicas(state, nodes, &mut next)?;
        map.groups.push(GroupDescriptor { group, epoch: ShardEpoch(1), slots: vec![slots], replicas });
    }
    Ok(())
}

/// The replicas of a new group: the first founds it, the others learn.
pub(super) fn first_replicas(
    state: &State,
    nodes: &[NodeId],
    next: &mut u64,
) -> Result<Vec<ReplicaDescriptor>, Reason> {
    let distinct: BTreeSet<_> = nodes.iter().collect();
    if nodes.is_empty() || nodes.len() > limits::MAX_REPLICAS || distinct.len() < nodes.len() {
        return Err(Reason::Malformed);
    }
    let mut replicas = Vec::with_capacity(nodes.len());
    for (place, node) in nodes.iter().enumerate() {
        let kind = if place == 0 { ReplicaState::Founding } else { ReplicaState::Learner };
        replicas.push(replica(state, *node, *next, kind)?);
        *next = next.saturating_add(1);
    }
    Ok(replicas)
}

pub(super) fn refound(
    state: &State,
    map: &mut ShardMap,
    group: GroupId,
    nodes: &[NodeId],
) -> Result<(), Reason> {
    let mut next = state.next_replica;
    let replicas = first_replicas(state, nodes, &mut next)?;
    let group = changing(map, group)?;
    if !group.is_new() {
        return Err(Reason::Conflict);
    }
    group.replicas = replicas;
    Ok(())
}

pub(super) fn add(
    state: &State,
    map: &mut ShardMap,
    group: GroupId,
    target: NodeId,
    replaces: Option<ReplicaId>,
) -> Result<(), Reason> {
    let learner = replica(state, target, state.next_replica, ReplicaState::Learner)?;
    let group = changing(map, group)?;
    let known = replaces.is_none_or(|old| group.voters().any(|voter| voter.replica == old));
    let room = replaces.is_some() || staying(group) < limits::MAX_REPLICAS;
    if has_newcomer(group) || group.on(target).is_some() || !known || !room {
        return Err(Reason::Conflict);
    }
    group.replicas.push(learner);
    Ok(())
}

/// Whether a replica comes that does not vote yet. One that leaves is no obstacle to the next: where another voter is dead, the group can
/// do without the one that leaves only when the next is there.
pub(crate) fn has_newcomer(group: &GroupDescriptor) -> bool {
    group.replicas.iter().any(|of| matches!(of.state, ReplicaState::Founding | ReplicaState::Learner))
}

/// Replicas that are to stay.
pub(crate) fn staying(group: &GroupDescriptor) -> usize {
    group.replicas.iter().filter(|of| of.state != ReplicaState::Leaving).count()
}

/// A learner may leave at any time, a voter only from a group that is settled.
pub(super) fn leave(map: &mut ShardMap, group: GroupId, id: ReplicaId) -> Result<(), Reason> {
    let group = changing(map, group)?;
    let settled = group.is_settled();
    match group.replica(id).map(|replica| replica.state) {
        Some(ReplicaState::Learner) => leaving(group, id),
        Some(ReplicaState::Voter) if settled => leaving(group, id),
        Some(_) => Err(Reason::Conflict),
        None => Err(Reason::NotFound),
    }
}

/// What is lost is lost, whatever else is under way.
pub(super) fn lost(map: &mut ShardMap, group: GroupId, id: ReplicaId) -> Result<(), Reason> {
    let group = changing(map, group)?;
    match group.replica(id).map(|replica| replica.state) {
        Some(ReplicaState::Learner | ReplicaState::Voter) => leaving(group, id),
        Some(_) => Err(Reason::Conflict),
        None => Err(Reason::NotFound),
    }
}

fn leaving(group: &mut GroupDescriptor, id: ReplicaId) -> Result<(), Reason> {
    let new = group.is_new();
    let others = group.voters().filter(|voter| voter.replica != id).count();
    if others == 0 && !new {
        return Err(Reason::LastOne);
    }
    let replica = group.replicas.iter_mut().find(|replica| replica.replica == id).ok_or(Reason::NotFound)?;
    replica.state = ReplicaState::Leaving;
    Ok(())
}

pub(super) fn founded(
    state: &State,
    map: &mut ShardMap,
    id: GroupId,
    replica: ReplicaId,
) -> Result<(), Reason> {
    let group = changing(map, id)?;
    let founder = group.replicas.iter_mut().find(|known| known.replica == replica).ok_or(Reason::NotFound)?;
    if founder.state != ReplicaState::Founding {
        return Err(Reason::Conflict);
    }
    fit(state, founder.node)?;
    has_newest(state, id, &[Recipient::Recovery, Recipient::Node(founder.node)])?;
    founder.state = ReplicaState::Voter;
    Ok(())
}

/// A learner votes; what it replaces is to leave in the same step.
pub(super) fn promoted(
    state: &State,
    map: &mut ShardMap,
    id: GroupId,
    learner: ReplicaId,
) -> Result<(), Reason> {
    let group = changing(map, id)?;
    let replica = group.replicas.iter_mut().find(|known| known.replica == learner).ok_or(Reason::NotFound)?;
    if replica.state != ReplicaState::Learner {
        return Err(Reason::Conflict);
    }
    fit(state, replica.node)?;
    has_newest(state, id, &[Recipient::Node(replica.node)])?;
    replica.state = ReplicaState::Voter;
    if let Some(old) = state.shards.replacing.get(&(id, learner))
        && let Some(old) = group.replicas.iter_mut().find(|known| known.replica == *old)
    {
        old.state = ReplicaState::Leaving;
    }
    Ok(())
}

pub(super) fn removed(
    map: &mut ShardMap,
    group: GroupId,
    by: ReplicaId,
    gone: ReplicaId,
) -> Result<(), Reason> {
    let group = changing(map, group)?;
    let leaves = group.replica(gone).is_some_and(|replica| replica.state == ReplicaState::Leaving);
    if !leaves || by == gone {
        return Err(Reason::Conflict);
    }
    group.replicas.retain(|replica| replica.replica != gone);
    Ok(())
}

fn has_newest(state: &State, group: GroupId, recipients: &[Recipient]) -> Result<(), Reason> {
    let subject = KeySubject::Dmk(group);
    let generation = state.generation(subject).ok_or(Reason::WrapMismatch)?;
    let reachable = recipients.iter().all(|recipient| state.has_wrap(subject, generation, *recipient));
    if reachable { Ok(()) } else { Err(Reason::WrapMismatch) }
}

/// A new replica on a machine that may hold one.
fn replica(state: &State, node: NodeId, id: u64, kind: ReplicaState) -> Result<ReplicaDescriptor, Reason> {
    let address = fit(state, node)?.to_owned();
    let usage = state.node_use(node);
    if usage.lost || usage.standing != crate::Standing::Serving {
        return Err(Reason::NotReady);
    }
    Ok(ReplicaDescriptor { replica: ReplicaId(id), node, address, state: kind })
}

/// Address of a shard node that nobody banned.
fn fit(state: &State, node: NodeId) -> Result<&str, Reason> {
    let member = state.members.get(&node).ok_or(Reason::NotFound)?;
    if member.role != NodeRole::Node {
        return Err(Reason::RoleMismatch);
    }
    if state.node_banned(node) { Err(Reason::EkBanned) } else { Ok(&member.address) }
}
