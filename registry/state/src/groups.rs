//! The map in force: only ever replaced by what one change makes of it.

use std::collections::BTreeSet;

use holdfast_domain::{GroupId, NodeId, Reason, ReplicaId, ReplicaState, ShardMap, SpiffeSubject};

use crate::{
    command::{MapChange, PutMap},
    limits,
    outcome::Applied,
    plan,
    state::State,
    verify,
};

impl State {
    pub(crate) fn put_map(&mut self, by: &SpiffeSubject, put: PutMap) -> Result<Applied, Reason> {
        let PutMap { expected, change, map: signed } = put;
        if expected != self.map_epoch() {
            return Err(Reason::Conflict);
        }
        let map = verify::shard_map(&self.founded_or_refuse()?.genesis.map_key, &signed)?;
        self.check_asker(by, &change)?;
        if plan::next_map(self, &change)? != map || map.check().is_err() {
            return Err(Reason::Conflict);
        }
        let gone = self.replicas_gone(&map);
        if self.dropping.len().saturating_add(gone.len()) > limits::MAX_DROPPING {
            return Err(Reason::Overloaded);
        }
        self.dropping.extend(gone);
        match &change {
            MapChange::Cancel(group) => {
                self.cancelled.insert(*group);
            }
            // Whichever of the two it came to.
            MapChange::Withdrawn { group, .. } | MapChange::HandedOver { group, .. } => {
                self.cancelled.remove(group);
            }
            MapChange::Create(_)
            | MapChange::Move { .. }
            | MapChange::Founded { .. }
            | MapChange::Readdress(_) => {}
        }
        let highest =
            map.groups.iter().flat_map(|group| &group.replicas).map(|replica| replica.replica.0).max();
        self.next_replica = self.next_replica.max(highest.map_or(0, |id| id.saturating_add(1)));
        let epoch = map.epoch;
        let groups = self.changed_groups(&map);
        self.record(format!("shard map {epoch}: {}, asked by {by}", describe(&change)));
        self.map = Some((signed, map));
        Ok(Applied::Map { epoch, groups })
    }

    /// Reports come from the replica that they speak for.
    fn check_asker(&self, by: &SpiffeSubject, change: &MapChange) -> Result<(), Reason> {
        let speaker = match change {
            MapChange::Founded { group, replica } => Some((*group, *replica)),
            MapChange::HandedOver { group, from } | MapChange::Withdrawn { group, from } => {
                Some((*group, *from))
            }
            MapChange::Create(_)
            | MapChange::Move { .. }
            | MapChange::Cancel(_)
            | MapChange::Readdress(_) => None,
        };
        match speaker {
            Some((group, replica)) if self.holder(group, replica) != node_of(by) => Err(Reason::NotPermitted),
            Some(_) => Ok(()),
            None if matches!(by, SpiffeSubject::Operator(_) | SpiffeSubject::Registry(_)) => Ok(()),
            None => Err(Reason::NotPermitted),
        }
    }

    /// The node that holds a replica; a node that holds nothing never equals "nobody".
    fn holder(&self, group: GroupId, replica: ReplicaId) -> Option<NodeId> {
        let group = self.map.as_ref().and_then(|(_, map)| map.group(group));
        let found = group.and_then(|group| group.replicas.iter().find(|known| known.replica == replica));
        found.map(|found| found.node)
    }

    pub(crate) fn dropped(
        &mut self,
        by: &SpiffeSubject,
        group: GroupId,
        replica: ReplicaId,
    ) -> Result<Applied, Reason> {
        match self.dropping.get(&(group, replica)) {
            Some(node) if Some(*node) == node_of(by) => {
                self.dropping.remove(&(group, replica));
                self.record(format!("replica {replica} of group {group} deleted, reported by {by}"));
                Ok(Applied::Done)
            }
            Some(_) => Err(Reason::NotPermitted),
            None => Err(Reason::NotFound),
        }
    }

    fn replicas_gone(&self, next: &ShardMap) -> Vec<((GroupId, ReplicaId), NodeId)> {
        let rows = |map: &ShardMap| -> BTreeSet<((GroupId, ReplicaId), NodeId)> {
            let of = |group: &holdfast_domain::GroupDescriptor| {
                let id = group.group;
                group.replicas.iter().map(move |r| ((id, r.replica), r.node)).collect::<Vec<_>>()
            };
            map.groups.iter().flat_map(of).collect()
        };
        let next = rows(next);
        self.map.iter().flat_map(|(_, map)| rows(map)).filter(|row| !next.contains(row)).collect()
    }

    fn changed_groups(&self, next: &ShardMap) -> Vec<GroupId> {
        let before = |id| self.map.as_ref().and_then(|(_, map)| map.group(id));
        next.groups
            .iter()
            .filter(|group| before(group.group) != Some(group))
            .map(|group| group.group)
            .collect()
    }

    /// Number of replicas on a node.
    pub fn replicas_on(&self, node: NodeId) -> usize {
        let replicas = self.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
        replicas.filter(|replica| replica.node == node && replica.state != ReplicaState::Learner).count()
    }
}

fn node_of(by: &SpiffeSubject) -> Option<NodeId> {
    match by {
        SpiffeSubject::Node(node) => Some(*node),
        _ => None,
    }
}

fn describe(change: &MapChange) -> String {
    match change {
        MapChange::Create(nodes) => format!("{} groups are to be founded", nodes.len()),
        MapChange::Move { group, target } => format!("group {group} is to move to {target}"),
        MapChange::Cancel(group) => format!("the move of group {group} is to be given up"),
        MapChange::Withdrawn { group, from } => {
            format!("the move of group {group} is given up by replica {from}")
        }
        MapChange::Founded { group, replica } => format!("group {group} is founded by replica {replica}"),
        MapChange::HandedOver { group, from } => format!("group {group} was handed over by replica {from}"),
        MapChange::Readdress(node) => format!("node {node} has another address"),
    }
}
