//! The map in force: only ever replaced by what one change makes of it.

use std::collections::BTreeSet;

use holdfast_domain::{
    GroupId, KeySubject, NodeId, Reason, ReplicaId, ReplicaState, ShardMap, SpiffeSubject,
};

use crate::{
    limits,
    map_change::{MapChange, PutMap},
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
        if self.shards.dropping.len().saturating_add(gone.len()) > limits::MAX_DROPPING {
            return Err(Reason::Overloaded);
        }
        let epoch = map.epoch;
        let groups = self.changed_groups(&map);
        self.record(format!("shard map {epoch}: {}, asked by {by}", change.describe()));
        self.note(&change, &map);
        for ((group, _), node) in &gone {
            self.destroy_wraps_to(*group, *node);
        }
        self.shards.dropping.extend(gone);
        self.shards.follow(&map);
        self.map = Some((signed, map));
        Ok(Applied::Map { epoch, groups })
    }

    /// What follows from a change beside the map.
    fn note(&mut self, change: &MapChange, map: &ShardMap) {
        let highest = |ids: Option<u64>| ids.map_or(0, |id| id.saturating_add(1));
        let replicas = map.groups.iter().flat_map(|group| &group.replicas);
        self.next_replica = self.next_replica.max(highest(replicas.map(|replica| replica.replica.0).max()));
        let group = map.groups.iter().map(|group| u64::from(group.group.0)).max();
        let group = u32::try_from(highest(group)).unwrap_or(u32::MAX);
        let new_group = GroupId(self.shards.next_group.max(1));
        self.shards.next_group = self.shards.next_group.max(group);
        match change {
            MapChange::Create(groups) => {
                let wanted = |(group, nodes): (&holdfast_domain::GroupDescriptor, &Vec<NodeId>)| {
                    (group.group, u8::try_from(nodes.len()).unwrap_or(u8::MAX))
                };
                self.shards.wanted.extend(map.groups.iter().zip(groups).map(wanted));
            }
            MapChange::Split { from, slots, nodes } => {
                let wanted = u8::try_from(nodes.len()).unwrap_or(u8::MAX);
                self.shards.wanted.insert(new_group, wanted);
                self.shards.splits.insert(new_group, (*from, slots.clone()));
            }
            MapChange::Add { group, target, replaces: Some(old) } => {
                if let Some(learner) = map.group(*group).and_then(|group| group.on(*target)) {
                    self.shards.replacing.insert((*group, learner.replica), *old);
                }
            }
            MapChange::Removed { group, .. } => {
                if let Some(generation) = self.generation(KeySubject::Dmk(*group)) {
                    self.shards.rotations.insert(*group, generation);
                }
            }
            MapChange::GiveUpSlotMove { from } => self.shards.splits.retain(|_, (of, _)| of != from),
            MapChange::Refound { group, .. } | MapChange::Retire(group) => {
                self.destroy_wraps_of(KeySubject::Dmk(*group));
            }
            MapChange::Add { replaces: None, .. }
            | MapChange::Leave { .. }
            | MapChange::Founded { .. }
            | MapChange::Promoted { .. }
            | MapChange::Lost { .. }
            | MapChange::BeginSlotMove { .. }
            | MapChange::SlotsMoved { .. }
            | MapChange::SlotsKept { .. }
            | MapChange::Readdress(_) => {}
        }
    }

    /// Reports come from a replica that votes in the group, or from the very replica that they are about.
    fn check_asker(&self, by: &SpiffeSubject, change: &MapChange) -> Result<(), Reason> {
        let target = |since| {
            let slot_move =
                self.map.as_ref().and_then(|(_, map)| map.moves.iter().find(|of| of.since == since));
            slot_move.map_or(GroupId::REGISTRY, |slot_move| slot_move.to)
        };
        let (group, speaker) = match change {
            MapChange::Founded { group, replica } | MapChange::Lost { group, replica } => {
                let held = self.holder(*group, *replica).is_some_and(|(node, _)| is(by, node));
                return if held { Ok(()) } else { Err(Reason::NotPermitted) };
            }
            MapChange::Promoted { group, by, .. } | MapChange::Removed { group, by, .. } => (*group, *by),
            MapChange::SlotsMoved { since, by } | MapChange::SlotsKept { since, by } => (target(*since), *by),
            MapChange::Create(_)
            | MapChange::Split { .. }
            | MapChange::Refound { .. }
            | MapChange::Add { .. }
            | MapChange::Leave { .. }
            | MapChange::BeginSlotMove { .. }
            | MapChange::GiveUpSlotMove { .. }
            | MapChange::Retire(_)
            | MapChange::Readdress(_) => {
                let may = matches!(by, SpiffeSubject::Operator(_) | SpiffeSubject::Registry(_));
                return if may { Ok(()) } else { Err(Reason::NotPermitted) };
            }
        };
        self.check_speaker(by, group, speaker)
    }

    /// Whether a node speaks for a replica that votes, or that did until it was asked to leave.
    pub(crate) fn check_speaker(
        &self,
        by: &SpiffeSubject,
        group: GroupId,
        speaker: ReplicaId,
    ) -> Result<(), Reason> {
        match self.holder(group, speaker) {
            Some((node, ReplicaState::Voter | ReplicaState::Leaving)) if is(by, node) => Ok(()),
            _ => Err(Reason::NotPermitted),
        }
    }

    fn holder(&self, group: GroupId, replica: ReplicaId) -> Option<(NodeId, ReplicaState)> {
        let group = self.map.as_ref().and_then(|(_, map)| map.group(group))?;
        group.replica(replica).map(|found| (found.node, found.state))
    }

    pub(crate) fn dropped(
        &mut self,
        by: &SpiffeSubject,
        group: GroupId,
        replica: ReplicaId,
    ) -> Result<Applied, Reason> {
        match self.shards.dropping.get(&(group, replica)) {
            Some(node) if is(by, *node) => {
                self.shards.dropping.remove(&(group, replica));
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
        let changed = next.groups.iter().filter(|group| before(group.group) != Some(group));
        changed.map(|group| group.group).collect()
    }

    /// Number of replicas on a node.
    pub fn replicas_on(&self, node: NodeId) -> usize {
        let replicas = self.map.iter().flat_map(|(_, map)| &map.groups).flat_map(|group| &group.replicas);
        replicas.filter(|replica| replica.node == node).count()
    }
}

fn is(by: &SpiffeSubject, node: NodeId) -> bool {
    *by == SpiffeSubject::Node(node)
}
