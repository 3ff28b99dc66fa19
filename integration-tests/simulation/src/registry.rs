//! The registry of a run: the real replicated state, the real placement, and the soft state of whoever leads.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{
    GroupId, KeyGeneration, KeySubject, NodeId, ReplicaId, ReplicaState, SpiffeSubject, UnixMs,
};
use holdfast_keys::{labels, sign};
use holdfast_registry_state::{
    Act, Command, MapChange, Observed, Outcome, Planned, PutMap, Standing, StandingChange, State, placement,
    plan,
};

use crate::base::{BASE, NODES, node_id, node_of, voter};

/// Nodes that were heard of within this are there.
const ALIVE_MS: u64 = 8_000;
/// Silence after which a node is replaced.
const LOST_AFTER_MS: u64 = 20_000;
/// Changes in one round.
const A_ROUND: usize = 16;

/// What a node asks of the registry.
#[derive(Debug, Clone)]
pub enum Call {
    /// It lives.
    Heartbeat,
    /// The first replica of a group made its key; it may stop in between.
    Found(GroupId, ReplicaId, bool),
    /// Wraps the newest key to another node.
    Wrap(GroupId, usize),
    /// A report that changes the map.
    Report(MapChange),
    /// A replica is deleted.
    Dropped(GroupId, ReplicaId),
    /// A new key, above this generation, wrapped to all that stay; then everything is sealed under it.
    Rotate(GroupId, ReplicaId, KeyGeneration),
}

/// The registry.
pub struct Registry {
    /// The replicated state.
    pub state: State,
    heard: BTreeMap<usize, u64>,
    leading_since: u64,
    /// Nobody is reached before.
    pub down_until: u64,
    changes: u64,
}

impl Default for Registry {
    /// With all nodes, and no groups.
    fn default() -> Self {
        let (heard, leading_since, down_until) = (BTreeMap::new(), 0, 0);
        Self { state: BASE.state.clone(), heard, leading_since, down_until, changes: 0 }
    }
}

impl Registry {
    fn act(&mut self, now: u64, by: SpiffeSubject, act: Act) -> Result<(), String> {
        let command = Command { now: UnixMs(2_000_000 + now), by, act };
        let outcome = self.state.apply(self.state.index() + 1, command);
        self.changes += 1;
        // The audit chain is read whole: not each time.
        if self.changes.is_multiple_of(32) {
            self.state.check().map_err(|error| format!("the registry's state: {error}"))?;
        }
        match outcome {
            Outcome::Applied(_) => Ok(()),
            Outcome::Refused(reason) => Err(format!("refused: {}", reason.code())),
        }
    }

    /// Commits a plan.
    pub fn put(&mut self, now: u64, by: SpiffeSubject, planned: Planned) -> Result<(), String> {
        let Planned { expected, change, map } = planned;
        let map =
            sign::sign_value(&BASE.map_key, labels::SHARD_MAP, &map).map_err(|error| error.to_string())?;
        self.act(now, by, Act::PutMap(PutMap { expected, change, map }))
    }

    fn change(&mut self, now: u64, by: SpiffeSubject, change: MapChange) -> bool {
        let planned = plan::plan(&self.state, change);
        planned.is_ok_and(|planned| self.put(now, by, planned).is_ok())
    }

    /// What an operator wants of a node.
    pub fn use_node(&mut self, now: u64, node: usize, standing: Standing) -> bool {
        let change = StandingChange::Use(standing);
        self.act(now, crate::base::operator(), Act::Standing { node: node_id(node), change }).is_ok()
    }

    /// The zone of a node.
    pub fn describe(&mut self, node: usize, zone: String) {
        let act = Act::Describe { node: node_id(node), zone, demands_hardware: false };
        self.act(0, voter(), act).expect("a node of the base cluster");
    }

    /// Another voter leads, which has heard of nobody.
    pub fn new_leader(&mut self, now: u64) {
        self.heard.clear();
        self.leading_since = now;
    }

    /// The leading voter's round.
    pub fn round(&mut self, now: u64) -> Result<(), String> {
        for node in 0..NODES {
            let (id, lost) = (node_id(node), self.state.node_use(node_id(node)).lost);
            let last = self.heard.get(&node).copied().unwrap_or(0).max(self.leading_since);
            let alive = self.heard.get(&node).is_some_and(|at| at + ALIVE_MS >= now);
            let change = match (lost, alive) {
                (true, true) => StandingChange::Returned,
                (false, false) if last + LOST_AFTER_MS <= now => StandingChange::Lost,
                _ => continue,
            };
            self.act(now, voter(), Act::Standing { node: id, change })?;
        }
        for _ in 0..A_ROUND {
            let Some(change) = placement::next(&self.state, &self.observed(now)) else { break };
            let planned = plan::plan(&self.state, change.clone());
            let planned =
                planned.map_err(|reason| format!("placement plans {change:?}: {}", reason.code()))?;
            self.put(now, voter(), planned).map_err(|error| format!("{change:?} {error}"))?;
        }
        Ok(())
    }

    /// What placement goes by.
    pub fn observed(&self, now: u64) -> Observed {
        let alive: BTreeSet<NodeId> = self
            .heard
            .iter()
            .filter(|(_, at)| **at + ALIVE_MS >= now)
            .map(|(node, _)| node_id(*node))
            .collect();
        Observed { alive, ..Observed::default() }
    }

    /// The newest generation of a group's key, and whether a node can open it.
    pub fn newest(&self, group: GroupId, node: usize) -> Option<(u32, bool)> {
        let subject = KeySubject::Dmk(group);
        let generation = self.state.generation(subject)?;
        let mut wraps = self.state.wraps_of(subject, generation);
        let own = holdfast_registry_state::Recipient::Node(node_id(node));
        Some((generation.0, wraps.any(|(recipient, _)| recipient == own)))
    }

    fn wrap(&mut self, now: u64, group: GroupId, generation: u32, by: usize, to: &[Option<usize>]) {
        let rows = to.iter().map(|to| BASE.wrap(group, generation, by, *to)).collect();
        // Refused when the map went on meanwhile: whoever asked sees that it is not there.
        let _ = self.act(now, SpiffeSubject::Node(node_id(by)), Act::PutWraps(rows));
    }

    /// Answers a node.
    pub fn call(&mut self, now: u64, node: usize, call: Call) {
        let by = SpiffeSubject::Node(node_id(node));
        match call {
            Call::Heartbeat => drop(self.heard.insert(node, now)),
            Call::Found(group, replica, whole) => {
                let generation = self.newest(group, node).map_or(1, |(generation, _)| generation);
                self.wrap(now, group, generation, node, &[Some(node), None]);
                if whole {
                    self.change(now, by, MapChange::Founded { group, replica });
                }
            }
            Call::Wrap(group, to) => {
                if let Some((generation, true)) = self.newest(group, node) {
                    self.wrap(now, group, generation, node, &[Some(to)]);
                }
            }
            Call::Report(change) => drop(self.change(now, by, change)),
            Call::Dropped(group, replica) => {
                let _ = self.act(now, by, Act::Dropped { group, replica });
            }
            Call::Rotate(group, replica, above) => {
                let Some((newest, _)) = self.newest(group, node) else { return };
                let generation = if newest > above.0 { newest } else { newest + 1 };
                let stays: Vec<_> =
                    self.state.map().and_then(|(_, map)| map.group(group)).map_or(Vec::new(), |group| {
                        let stay =
                            group.replicas.iter().filter(|replica| replica.state != ReplicaState::Leaving);
                        stay.map(|replica| node_of(replica.node)).chain([None]).collect()
                    });
                self.wrap(now, group, generation, node, &stays);
                let generation = KeyGeneration(generation);
                let _ = self.act(now, by, Act::Rotated { group, replica, generation });
            }
        }
    }
}
