//! A run: events in the order of a simulated clock, and the invariants after each.

mod operators;
mod rest;
mod traffic;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupId, ReplicaId};
use holdfast_registry_state::plan;

use crate::{
    base::{NODES, operator},
    chance::Chance,
    network::Network,
    node::{Letter, Node, View, Wishes},
    oracle::Oracle,
    raft::Replica,
    registry::{Call, Registry},
    rules::Rules,
};
use trouble::Blow;

/// Faults happen until then.
const TROUBLE_MS: u64 = 90_000;
/// After them everything comes to rest within this.
const PATIENCE_MS: u64 = 240_000;

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// Timers of a node's replicas.
    Timers(usize),
    /// A node looks at everything that is its business.
    Round(usize),
    /// A node tells that it lives.
    Heartbeat(usize),
    /// A letter arrives.
    Letter { from: usize, to: usize, letter: Letter },
    /// A call arrives at the registry.
    Call { from: usize, call: Call },
    /// A view arrives at a node.
    View { to: usize, index: u64, view: View },
    /// The registry's leader looks after placement.
    Registry,
    /// A client writes.
    Client,
    /// Something goes wrong, or an operator wants something.
    Trouble,
    /// A node's process begins again.
    Restart(usize),
    /// A blow that was planned before.
    Blow(Blow),
}

/// What came of a run without a violation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Changes of the map.
    pub epochs: u64,
    /// A leader took a voter out, or gave a newcomer a vote, in the very moment in which another one's disk was lost and before it could
    /// know: half of the voters are left, which is safe and does not serve.
    pub halved: bool,
    /// A mark of everything that happened: equal for equal seeds.
    pub trace: u64,
}

/// A violation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, {at} ms: {what}")]
pub struct Failure {
    /// Of the run.
    pub seed: u64,
    /// When.
    pub at: u64,
    /// What does not hold.
    pub what: String,
}

/// Everything there is.
struct World {
    now: u64,
    order: u64,
    events: BTreeMap<(u64, u64), Event>,
    chance: Chance,
    network: Network,
    registry: Registry,
    nodes: Vec<Node>,
    /// Index of each node's view.
    seen: Vec<u64>,
    /// Nodes that never come back.
    dead: BTreeSet<usize>,
    /// Older states of disks.
    images: BTreeMap<usize, BTreeMap<(GroupId, ReplicaId), Replica>>,
    /// What each replica acknowledged: the term, and how much of its log in that term.
    floors: BTreeMap<ReplicaId, (u64, usize)>,
    commits: BTreeMap<ReplicaId, usize>,
    leading: BTreeSet<ReplicaId>,
    oracle: Oracle,
    rules: Rules,
    writes: u64,
    published: u64,
    report: Report,
}

/// Runs one seed.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(seed: u64, rules: Rules) -> Result<Report, Failure> {
    let mut world = World::new(seed, rules);
    let done = world.run();
    let at = world.now;
    done.map_err(|what| Failure { seed, at, what })?;
    world.report.acknowledged = world.oracle.acknowledged.values().map(|writes| writes.len() as u64).sum();
    world.report.epochs = world.registry.state.map_epoch().0;
    Ok(world.report)
}

impl World {
    fn new(seed: u64, rules: Rules) -> Self {
        let mut chance = Chance::new(seed);
        let mut registry = Registry::default();
        let zones = chance.between(1, 5);
        (0..NODES).for_each(|node| registry.describe(node, format!("zone-{}", node as u64 % zones)));
        let (groups, replicas) = (chance.between(1, 4) as u32, if chance.happens(150) { 5 } else { 3 });
        let planned = plan::plan_groups(&registry.state, groups, replicas).expect("seven nodes");
        registry.put(0, operator(), planned).expect("the first groups");
        let mut world = Self {
            now: 0,
            order: 0,
            events: BTreeMap::new(),
            chance,
            network: Network::default(),
            registry,
            nodes: vec![Node { up: true, ..Node::default() }; NODES],
            seen: vec![0; NODES],
            dead: BTreeSet::new(),
            images: BTreeMap::new(),
            floors: BTreeMap::new(),
            commits: BTreeMap::new(),
            leading: BTreeSet::new(),
            oracle: Oracle::default(),
            rules,
            writes: 0,
            published: 0,
            report: Report::default(),
        };
        for node in 0..NODES {
            world.after(node as u64 * 13, Event::Timers(node));
            world.after(node as u64 * 37, Event::Round(node));
            world.after(node as u64 * 71, Event::Heartbeat(node));
        }
        world.after(500, Event::Registry);
        world.after(3_000, Event::Client);
        world.after(8_000, Event::Trouble);
        world
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    fn run(&mut self) -> Result<(), String> {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.mark(&event);
            if at >= TROUBLE_MS && !self.network.calm {
                self.calm();
            }
            let resting = matches!(event, Event::Registry) && self.network.calm && at > TROUBLE_MS + 5_000;
            self.happen(event)?;
            if resting {
                match self.unrest() {
                    None => return Ok(()),
                    Some(_) if at > TROUBLE_MS + PATIENCE_MS && self.is_halved() => {
                        self.report.halved = true;
                        return Ok(());
                    }
                    Some(what) if at > TROUBLE_MS + PATIENCE_MS => {
                        return Err(format!("invariant_comes_to_rest: {what}"));
                    }
                    Some(_) => {}
                }
            }
        }
        Err("no event is left".to_owned())
    }

    fn mark(&mut self, event: &Event) {
        self.report.events += 1;
        let kind = match event {
            Event::Timers(node) => *node as u64,
            Event::Round(node) => 16 + *node as u64,
            Event::Heartbeat(node) => 32 + *node as u64,
            Event::Letter { from, to, .. } => 64 + (*from * NODES + *to) as u64,
            Event::Call { from, .. } => 128 + *from as u64,
            Event::View { to, .. } => 160 + *to as u64,
            Event::Registry => 200,
            Event::Client => 201,
            Event::Trouble => 202,
            Event::Restart(node) => 210 + *node as u64,
            Event::Blow(_) => 203,
        };
        let mixed = (self.report.trace ^ kind ^ (self.now << 8)).wrapping_mul(0x0100_0000_01b3);
        self.report.trace = mixed.rotate_left(17);
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Timers(node) => {
                self.after(100, Event::Timers(node));
                self.timers(node)
            }
            Event::Round(node) => {
                let pause = self.chance.between(350, 650);
                self.after(pause, Event::Round(node));
                self.act(node, |node, at, chance| node.round(at, chance))
            }
            Event::Heartbeat(node) => {
                self.after(2_000, Event::Heartbeat(node));
                if self.nodes[node].up {
                    self.send(node, Wishes { calls: vec![Call::Heartbeat], letters: Vec::new() });
                }
                Ok(())
            }
            Event::Letter { from, to, letter } => {
                self.act(to, move |node, at, chance| node.receive(at, from, letter, chance))
            }
            Event::Call { from, call } => {
                if self.registry.down_until <= self.now {
                    self.registry.call(self.now, from, call);
                    self.publish(false);
                }
                Ok(())
            }
            Event::View { to, index, view } => {
                if self.nodes[to].up && index > self.seen[to] {
                    self.seen[to] = index;
                    self.nodes[to].view = Some(view);
                }
                Ok(())
            }
            Event::Registry => {
                self.after(1_000, Event::Registry);
                if self.registry.down_until > self.now {
                    return Ok(());
                }
                let done = self.registry.round(self.now);
                self.publish(true);
                done
            }
            Event::Client => {
                let pause = self.chance.between(20, 120);
                self.after(pause, Event::Client);
                self.write()
            }
            Event::Trouble => {
                let pause = self.chance.between(300, 2_500);
                if self.now < TROUBLE_MS {
                    self.after(pause, Event::Trouble);
                    self.trouble();
                }
                Ok(())
            }
            Event::Blow(blow) => {
                if !self.network.calm {
                    self.strike(blow);
                }
                Ok(())
            }
            Event::Restart(node) => {
                if !self.dead.contains(&node) {
                    self.nodes[node].up = true;
                }
                Ok(())
            }
        }
    }

    /// The invariants, of all that the node's replicas changed.
    fn watch(&mut self, node: usize) -> Result<(), String> {
        for replica in self.nodes[node].replicas.values() {
            let known = self.commits.entry(replica.id).or_default();
            if *known != replica.commit {
                *known = replica.commit;
                self.oracle.committed(replica)?;
            }
            if !replica.leads() {
                self.leading.remove(&replica.id);
            } else if self.leading.insert(replica.id) {
                self.oracle.leads(replica)?;
            }
        }
        Ok(())
    }
}
