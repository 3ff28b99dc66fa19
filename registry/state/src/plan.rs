//! Changes of the shard map. A proposer plans and signs; `apply` computes the map again from the same change and takes no other.
//!
//! Where a replica is placed is the proposer's choice and travels in the change, so that placement may become cleverer without voters of
//! different versions ever computing different states.

use std::collections::BTreeMap;

use holdfast_domain::{
    GroupDescriptor, GroupId, KeySubject, MapEpoch, NodeId, NodeRole, Reason, ReplicaDescriptor, ReplicaId,
    ReplicaState, ShardEpoch, ShardMap, map,
};

use crate::{command::MapChange, limits, state::State, wraps::Recipient};

/// A change with the map that it leads to, to be signed and proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Epoch of the map that it replaces.
    pub expected: MapEpoch,
    /// The change.
    pub change: MapChange,
    /// The new map.
    pub map: ShardMap,
}

/// Plans the first groups, spread evenly over the unbanned nodes.
///
/// # Errors
/// [`Reason::NotReady`] without nodes; otherwise see [`next_map`].
pub fn plan_groups(state: &State, count: u32) -> Result<Planned, Reason> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    if wanted == 0 || wanted > limits::MAX_GROUPS {
        return Err(Reason::Malformed);
    }
    let mut load: BTreeMap<NodeId, usize> = state
        .members
        .iter()
        .filter(|(node, member)| member.role == NodeRole::Node && !state.node_banned(**node))
        .map(|(node, _)| (*node, 0))
        .collect();
    let replicas = state.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
    for replica in replicas {
        load.entry(replica.node).and_modify(|count| *count = count.saturating_add(1));
    }
    let mut nodes = Vec::with_capacity(wanted);
    while nodes.len() < wanted {
        let (node, count) =
            load.iter_mut().min_by_key(|(node, count)| (**count, **node)).ok_or(Reason::NotReady)?;
        *count = count.saturating_add(1);
        nodes.push(*node);
    }
    planned(state, MapChange::Create(nodes))
}

/// Plans a group's move to another node; towards the node that has it, plans to give up a move under way.
///
/// # Errors
/// See [`next_map`].
pub fn plan_move(state: &State, group: GroupId, target: NodeId) -> Result<Planned, Reason> {
    let descriptor = current(state, group)?;
    let back = descriptor.replicas.iter().any(|r| r.node == target && r.state == ReplicaState::Voter);
    let moving = descriptor.replicas.iter().any(|replica| replica.state == ReplicaState::Learner);
    let change = if back && moving { MapChange::Cancel(group) } else { MapChange::Move { group, target } };
    planned(state, change)
}

/// Plans what follows the report that a group is founded.
///
/// # Errors
/// See [`next_map`].
pub fn plan_founded(state: &State, group: GroupId, replica: ReplicaId) -> Result<Planned, Reason> {
    planned(state, MapChange::Founded { group, replica })
}

/// Plans what follows the report that a group was handed over by the replica `from`.
///
/// # Errors
/// See [`next_map`].
pub fn plan_handed_over(state: &State, group: GroupId, from: ReplicaId) -> Result<Planned, Reason> {
    planned(state, MapChange::HandedOver { group, from })
}

/// Plans what follows the report that the replica `from` keeps its group, whose move was to be given up.
///
/// # Errors
/// See [`next_map`].
pub fn plan_withdrawn(state: &State, group: GroupId, from: ReplicaId) -> Result<Planned, Reason> {
    planned(state, MapChange::Withdrawn { group, from })
}

/// Plans the correction of a machine's address in the map; `None` when it is right everywhere.
///
/// # Errors
/// See [`next_map`].
pub fn plan_readdress(state: &State, node: NodeId) -> Result<Option<Planned>, Reason> {
    let address = &state.members.get(&node).ok_or(Reason::NotFound)?.address;
    let mut replicas = state.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
    let wrong = replicas.any(|replica| replica.node == node && replica.address != *address);
    if wrong { planned(state, MapChange::Readdress(node)).map(Some) } else { Ok(None) }
}

fn planned(state: &State, change: MapChange) -> Result<Planned, Reason> {
    let map = next_map(state, &change)?;
    Ok(Planned { expected: state.map_epoch(), change, map })
}

/// The map that a change leads to.
///
/// # Errors
/// [`Reason::Conflict`] when the group is not in the state that the change needs, [`Reason::NotFound`], [`Reason::EkBanned`],
/// [`Reason::RoleMismatch`] for unfit nodes, [`Reason::WrapMismatch`] when a key would be left without a way back.
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
        MapChange::Create(nodes) => create(state, &mut map, nodes)?,
        MapChange::Move { group, target } => {
            let learner = replica(state, *target, state.next_replica, ReplicaState::Learner)?;
            let replicas = replicas_of(&mut map, *group)?;
            let settled = replicas.iter().all(|replica| replica.state == ReplicaState::Voter);
            if !settled || replicas.iter().any(|replica| replica.node == *target) {
                return Err(Reason::Conflict);
            }
            replicas.push(learner);
        }
        MapChange::Cancel(group) => {
            let moving = replicas_of(&mut map, *group)?.iter().any(is_learner);
            if !moving || state.cancelled.contains(group) {
                return Err(Reason::Conflict);
            }
        }
        MapChange::Withdrawn { group, from } => withdrawn(state, &mut map, *group, *from)?,
        MapChange::Founded { group, replica } => founded(state, &mut map, *group, *replica)?,
        MapChange::HandedOver { group, from } => handed_over(state, &mut map, *group, *from)?,
        MapChange::Readdress(node) => readdress(state, &mut map, *node)?,
    }
    Ok(map)
}

fn create(state: &State, map: &mut ShardMap, nodes: &[NodeId]) -> Result<(), Reason> {
    if !map.groups.is_empty() {
        return Err(Reason::Conflict);
    }
    let count = u32::try_from(nodes.len()).map_err(|_| Reason::Malformed)?;
    for (index, node) in (0_u32..).zip(nodes) {
        let id = state.next_replica.saturating_add(index.into());
        let slots = map::even_slots(index, count).ok_or(Reason::Malformed)?;
        map.groups.push(GroupDescriptor {
            group: GroupId(index.saturating_add(1)),
            epoch: ShardEpoch(1),
            slots: vec![slots],
            replicas: vec![replica(state, *node, id, ReplicaState::Founding)?],
        });
    }
    if map.groups.is_empty() { Err(Reason::Malformed) } else { Ok(()) }
}

fn founded(state: &State, map: &mut ShardMap, group: GroupId, id: ReplicaId) -> Result<(), Reason> {
    let replicas = replicas_of(map, group)?;
    let founding =
        |replica: &&mut ReplicaDescriptor| replica.replica == id && replica.state == ReplicaState::Founding;
    let replica = replicas.iter_mut().find(founding).ok_or(Reason::Conflict)?;
    fit(state, replica.node)?;
    let subject = KeySubject::Dmk(group);
    let generation = state.generation(subject).ok_or(Reason::WrapMismatch)?;
    let ways_back = [Recipient::Recovery, Recipient::Node(replica.node)];
    if !ways_back.into_iter().all(|recipient| state.has_wrap(subject, generation, recipient)) {
        return Err(Reason::WrapMismatch);
    }
    replica.state = ReplicaState::Voter;
    Ok(())
}

fn handed_over(state: &State, map: &mut ShardMap, group: GroupId, from: ReplicaId) -> Result<(), Reason> {
    let replicas = replicas_of(map, group)?;
    let leaves =
        |replica: &ReplicaDescriptor| replica.replica == from && replica.state == ReplicaState::Voter;
    if !replicas.iter().any(leaves) {
        return Err(Reason::Conflict);
    }
    let learner = replicas.iter_mut().find(|replica| is_learner(replica)).ok_or(Reason::Conflict)?;
    fit(state, learner.node)?;
    let subject = KeySubject::Dmk(group);
    let generation = state.generation(subject).ok_or(Reason::WrapMismatch)?;
    if !state.has_wrap(subject, generation, Recipient::Node(learner.node)) {
        return Err(Reason::WrapMismatch);
    }
    learner.state = ReplicaState::Voter;
    replicas.retain(|replica| replica.replica != from);
    Ok(())
}

fn withdrawn(state: &State, map: &mut ShardMap, group: GroupId, from: ReplicaId) -> Result<(), Reason> {
    let replicas = replicas_of(map, group)?;
    let keeps = |replica: &ReplicaDescriptor| replica.replica == from && replica.state == ReplicaState::Voter;
    if !state.cancelled.contains(&group) || !replicas.iter().any(keeps) {
        return Err(Reason::Conflict);
    }
    replicas.retain(|replica| !is_learner(replica));
    Ok(())
}

fn is_learner(replica: &ReplicaDescriptor) -> bool {
    replica.state == ReplicaState::Learner
}

fn readdress(state: &State, map: &mut ShardMap, node: NodeId) -> Result<(), Reason> {
    let address = &state.members.get(&node).ok_or(Reason::NotFound)?.address;
    for group in &mut map.groups {
        let wrong = |replica: &&mut ReplicaDescriptor| replica.node == node && replica.address != *address;
        if let Some(replica) = group.replicas.iter_mut().find(wrong) {
            replica.address.clone_from(address);
            group.epoch = ShardEpoch(group.epoch.0.saturating_add(1));
        }
    }
    Ok(())
}

/// A new replica on a machine that may hold one.
fn replica(state: &State, node: NodeId, id: u64, kind: ReplicaState) -> Result<ReplicaDescriptor, Reason> {
    let address = fit(state, node)?.to_owned();
    Ok(ReplicaDescriptor { replica: ReplicaId(id), node, address, state: kind })
}

/// Address of a shard node in good standing.
fn fit(state: &State, node: NodeId) -> Result<&str, Reason> {
    let member = state.members.get(&node).ok_or(Reason::NotFound)?;
    if member.role != NodeRole::Node {
        return Err(Reason::RoleMismatch);
    }
    if state.node_banned(node) { Err(Reason::EkBanned) } else { Ok(&member.address) }
}

fn current(state: &State, group: GroupId) -> Result<&GroupDescriptor, Reason> {
    state.map.as_ref().and_then(|(_, map)| map.group(group)).ok_or(Reason::NotFound)
}

/// A group's replicas, about to change.
fn replicas_of(map: &mut ShardMap, group: GroupId) -> Result<&mut Vec<ReplicaDescriptor>, Reason> {
    let group = map.groups.iter_mut().find(|known| known.group == group).ok_or(Reason::NotFound)?;
    group.epoch = ShardEpoch(group.epoch.0.saturating_add(1));
    Ok(&mut group.replicas)
}
