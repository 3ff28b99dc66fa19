//! What nodes are used for, and what is known of them. Soft state stays with the voters; only transitions are commands.

use holdfast_domain::{GroupId, NodeId, NodeRole, Reason, ReplicaId, SpiffeSubject};
use serde::{Deserialize, Serialize};

use crate::{
    limits,
    outcome::Applied,
    shards::{LogFloor, NodeUse, Standing},
    state::State,
};

/// A change of what a node is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StandingChange {
    /// By an operator.
    Use(Standing),
    /// By an operator, or by the leading voter after the grace period: its replicas are replaced.
    Lost,
    /// It was heard of again.
    Returned,
}

/// What a replica had of its log at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloorRow {
    /// The group.
    pub group: GroupId,
    /// The replica.
    pub replica: ReplicaId,
    /// Term and index.
    pub floor: LogFloor,
}

impl State {
    /// What a node says of itself, told by a voter.
    pub(crate) fn describe(
        &mut self,
        by: &SpiffeSubject,
        node: NodeId,
        zone: String,
        demands_hardware: bool,
    ) -> Result<Applied, Reason> {
        by_voter(by)?;
        self.check_node(node)?;
        if zone.len() > limits::MAX_ZONE || !zone.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Reason::Malformed);
        }
        let row = self.shards.nodes.entry(node).or_default();
        if (&row.zone, row.demands_hardware) != (&zone, demands_hardware) {
            let what = format!("node {node} is in zone {zone:?}, demands hardware TPMs: {demands_hardware}");
            (row.zone, row.demands_hardware) = (zone, demands_hardware);
            self.record(what);
        }
        Ok(Applied::Done)
    }

    pub(crate) fn set_standing(
        &mut self,
        by: &SpiffeSubject,
        node: NodeId,
        change: StandingChange,
    ) -> Result<Applied, Reason> {
        self.check_node(node)?;
        let operator = matches!(by, SpiffeSubject::Operator(_));
        let empty = self.replicas_on(node) == 0;
        let mut row = self.node_use(node);
        match change {
            StandingChange::Use(_) if !operator => return Err(Reason::NotPermitted),
            StandingChange::Use(Standing::Removed) if !empty => return Err(Reason::NotEmpty),
            StandingChange::Use(standing) => row.standing = standing,
            StandingChange::Lost => row.lost = true,
            StandingChange::Returned => row.lost = false,
        }
        if !operator {
            by_voter(by)?;
        }
        if row.standing == Standing::Removed {
            // Nobody will ever report these.
            self.shards.dropping.retain(|_, holder| *holder != node);
        }
        let before = self.shards.nodes.insert(node, row.clone());
        if before.unwrap_or_default() != row {
            let lost = if row.lost { ", lost" } else { "" };
            self.record(format!("node {node} is {}{lost}, said by {by}", row.standing.as_str()));
        }
        Ok(Applied::Done)
    }

    /// Floors only rise; those of replicas that are gone are passed over.
    pub(crate) fn raise_floors(
        &mut self,
        by: &SpiffeSubject,
        rows: Vec<FloorRow>,
    ) -> Result<Applied, Reason> {
        by_voter(by)?;
        if rows.len() > limits::MAX_FLOORS_A_COMMAND {
            return Err(Reason::Malformed);
        }
        let Some((_, map)) = &self.map else { return Ok(Applied::Done) };
        for FloorRow { group, replica, floor } in rows {
            if map.group(group).is_some_and(|group| group.replica(replica).is_some()) {
                let known = self.shards.floors.entry((group, replica)).or_default();
                *known = floor.max(*known);
            }
        }
        Ok(Applied::Done)
    }

    fn check_node(&self, node: NodeId) -> Result<(), Reason> {
        let member = self.members.get(&node).ok_or(Reason::NotFound)?;
        if member.role == NodeRole::Node { Ok(()) } else { Err(Reason::RoleMismatch) }
    }

    /// What is known of a node.
    pub fn node_use(&self, node: NodeId) -> NodeUse {
        self.shards.nodes.get(&node).cloned().unwrap_or_default()
    }

    /// The floors of a node's replicas.
    pub fn floors_of(&self, node: NodeId) -> impl Iterator<Item = FloorRow> {
        let groups = self.map.iter().flat_map(|(_, map)| &map.groups);
        groups.filter_map(move |group| {
            let replica = group.on(node)?.replica;
            let floor = *self.shards.floors.get(&(group.group, replica))?;
            Some(FloorRow { group: group.group, replica, floor })
        })
    }

    /// The floor of a replica.
    pub fn floor(&self, group: GroupId, replica: ReplicaId) -> Option<LogFloor> {
        self.shards.floors.get(&(group, replica)).copied()
    }
}

fn by_voter(by: &SpiffeSubject) -> Result<(), Reason> {
    if matches!(by, SpiffeSubject::Registry(_)) { Ok(()) } else { Err(Reason::NotPermitted) }
}
