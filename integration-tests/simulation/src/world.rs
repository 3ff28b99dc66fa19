//! A run: events in the order of a simulated clock, and the invariants after each.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use holdfast_domain::{GroupDescriptor, GroupId, ReplicaId, ShardMap};
use holdfast_registry_state::{Standing, placement, plan};

use crate::{
    base::{NODES, node_id, node_of, operator},
    chance::Chance,
    machine::Command,
    network::{Network, REGISTRY},
    node::{Letter, Node, SLOTS, Surroundings, View, Wishes, holds, post},
    oracle::Oracle,
    raft::{Config, Payload, Replica},
    registry::{Call, Registry},
    rules::Rules,
};

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

/// Part of a sequence of faults, each of which the group survives.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// The process dies.
    Crash(usize),
    /// And its disk with it.
    Wipe(usize),
    /// And its disk is put back to its image.
    PutBack(usize),
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
    /// What each replica acknowledged of its log.
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

    fn act(
        &mut self,
        node: usize,
        what: impl FnOnce(&mut Node, &Surroundings<'_>, &mut Chance) -> Wishes,
    ) -> Result<(), String> {
        if !self.nodes[node].up {
            return Ok(());
        }
        let at = Surroundings {
            me: node,
            now: self.now,
            registry: &self.registry,
            floors: &self.floors,
            rules: self.rules,
        };
        let wishes = what(&mut self.nodes[node], &at, &mut self.chance);
        self.send(node, wishes);
        self.watch(node)
    }

    fn timers(&mut self, node: usize) -> Result<(), String> {
        let now = self.now;
        self.act(node, |node, _, chance| {
            let mut wishes = Wishes::default();
            for (key, replica) in &mut node.replicas {
                let mut out = Vec::new();
                replica.tick(now, chance, &mut out);
                post(*key, out, &mut wishes);
            }
            wishes
        })
    }

    fn send(&mut self, from: usize, wishes: Wishes) {
        let Wishes { calls, letters } = wishes;
        for call in calls {
            for at in self.network.arrivals((from, REGISTRY), self.now, &mut self.chance) {
                self.after(at - self.now, Event::Call { from, call: call.clone() });
            }
        }
        for (to, letter) in letters {
            self.note_acknowledgement(from, &letter);
            for at in self.network.arrivals((from, to), self.now, &mut self.chance) {
                self.after(at - self.now, Event::Letter { from, to, letter: letter.clone() });
            }
        }
    }

    /// What a replica acknowledges, or sends as its own, its peers remember.
    fn note_acknowledgement(&mut self, node: usize, letter: &Letter) {
        use crate::raft::Message;
        let Letter::Raft { group, from, message, .. } = letter else { return };
        let Some(own) = self.nodes[node].replicas.get(&(*group, *from)) else { return };
        let held = match message {
            Message::Appended { agrees: true, len, .. } if *len > 0 => (own.log[*len - 1].term, *len),
            Message::Append { .. } => own.last(),
            _ => return,
        };
        let known = self.floors.entry(*from).or_default();
        *known = held.max(*known);
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

    /// Tells all nodes what there is, if it is news or time.
    fn publish(&mut self, again: bool) {
        let index = self.registry.state.index();
        let Some((_, map)) = self.registry.state.map() else { return };
        if !again && self.published == map.epoch.0 {
            return;
        }
        self.published = map.epoch.0;
        let map = Rc::new(map.clone());
        for to in 0..NODES {
            let state = &self.registry.state;
            let id = node_id(to);
            let view = View {
                map: Rc::clone(&map),
                drops: state.drops_for(id).collect(),
                rotations: state.rotations_for(id),
            };
            for at in self.network.arrivals((REGISTRY, to), self.now, &mut self.chance) {
                self.after(at - self.now, Event::View { to, index, view: view.clone() });
            }
        }
    }

    /// A client writes to who it thinks leads.
    fn write(&mut self) -> Result<(), String> {
        let slot = *self.chance.pick(&SLOTS).expect("slots");
        let stale = self.chance.happens(250);
        let node = self.chance.below(NODES as u64) as usize;
        let known = self.nodes[node].view.as_ref().filter(|_| stale).map(|view| Rc::clone(&view.map));
        let map: Rc<ShardMap> = match (known, self.registry.state.map()) {
            (Some(map), _) => map,
            (None, Some((_, map))) => Rc::new(map.clone()),
            (None, None) => return Ok(()),
        };
        let Some(group) = map.groups.iter().find(|group| holds(group, slot)) else { return Ok(()) };
        for replica in &group.replicas {
            let Some(node) = node_of(replica.node).filter(|node| self.nodes[*node].up) else { continue };
            let Some(own) = self.nodes[node].replicas.get_mut(&(group.group, replica.replica)) else {
                continue;
            };
            if own.leads() {
                self.writes += 1;
                own.propose(Payload::Command(Command::Write(slot, self.writes)));
                let mut out = Vec::new();
                own.replicate(&mut out);
                let mut wishes = Wishes::default();
                post((group.group, replica.replica), out, &mut wishes);
                self.send(node, wishes);
                return self.watch(node);
            }
        }
        Ok(())
    }

    fn crash(&mut self, node: usize, down_ms: u64) {
        self.nodes[node].up = false;
        self.nodes[node].replicas.values_mut().for_each(Replica::crash);
        for replica in self.nodes[node].replicas.values() {
            self.leading.remove(&replica.id);
            self.commits.remove(&replica.id);
        }
        if let Some(view) = &mut self.nodes[node].view {
            // Only the map is on disk.
            view.drops.clear();
            view.rotations.clear();
        }
        self.after(down_ms, Event::Restart(node));
    }

    /// Whether every group keeps a majority of intact logs without this node's disk.
    fn can_lose(&self, lost: usize) -> bool {
        let intact = |group: GroupId, id: ReplicaId, node: usize| {
            let replica = self.nodes[node].replicas.get(&(group, id));
            let floor = self.floors.get(&id).copied().unwrap_or_default();
            node != lost
                && !self.dead.contains(&node)
                && replica.is_some_and(|replica| replica.last() >= floor)
        };
        let enough = |group: GroupId, config: &Config| {
            let voters = config.voters.iter().filter(|(id, node)| intact(group, **id, **node)).count();
            // A lone voter that gives a vote to a newcomer needs it from then on, and may not know yet that its disk is gone.
            let promised = config.voters.len() == 1 && config.learners.values().any(|node| *node == lost);
            voters * 2 > config.voters.len() && !promised
        };
        // Who is to leave is taken out by a leader that may not know yet that another one's disk is gone.
        let groups = self.registry.state.map().into_iter().flat_map(|(_, map)| &map.groups);
        let mut shrinking = groups.filter(|group| !group.is_settled() && group.voters().next().is_some());
        let rest = |group: &GroupDescriptor| Config {
            voters: group.voters().filter_map(|voter| Some((voter.replica, node_of(voter.node)?))).collect(),
            learners: BTreeMap::new(),
        };
        if !shrinking.all(|group| enough(group.group, &rest(group))) {
            return false;
        }
        let replicas = self.nodes.iter().flat_map(|node| node.replicas.values());
        let alive: Vec<&Replica> = replicas.filter(|replica| !replica.log.is_empty()).collect();
        alive.into_iter().all(|replica| {
            let (len, committed) = self.oracle.known(replica);
            let old = replica.log.len() < len;
            committed.is_none_or(|config| enough(replica.group, config))
                && (old
                    || replica
                        .configs()
                        .skip(replica.configs().count().saturating_sub(2))
                        .all(|config| enough(replica.group, config)))
        })
    }

    /// Whether a group's newest membership has no majority of intact logs.
    fn is_halved(&self) -> bool {
        let intact = |group: GroupId, id: ReplicaId, node: usize| {
            let floor = self.floors.get(&id).copied().unwrap_or_default();
            let held = self.nodes[node].replicas.get(&(group, id)).is_some_and(|own| own.last() >= floor);
            held && !self.dead.contains(&node)
        };
        let groups = self.registry.state.map().into_iter().flat_map(|(_, map)| &map.groups);
        groups.map(|group| group.group).any(|group| {
            let replicas = self.nodes.iter().flat_map(|node| node.replicas.values());
            let newest =
                replicas.filter(|replica| replica.group == group).max_by_key(|replica| replica.last());
            newest.is_some_and(|newest| {
                let voters = newest.config().voters;
                let left = voters.iter().filter(|(id, node)| intact(group, **id, **node)).count();
                left * 2 <= voters.len()
            })
        })
    }

    fn trouble(&mut self) {
        let node = self.chance.below(NODES as u64) as usize;
        let down = if self.chance.happens(150) {
            self.chance.between(20_000, 45_000)
        } else {
            self.chance.between(300, 9_000)
        };
        match self.chance.below(100) {
            0..20 if self.nodes[node].up => self.crash(node, down),
            20..26 => self.strike(Blow::Wipe(node)),
            26..32 => drop(self.images.insert(node, self.nodes[node].replicas.clone())),
            32..38 => self.strike(Blow::PutBack(node)),
            38..44 => self.one_after_the_other(),
            44..48 => self.halves(),
            48..58 => self.cut(node),
            58..62 => self.registry.down_until = self.now + self.chance.between(1_000, 12_000),
            62..65 => self.registry.new_leader(self.now),
            65..66 if self.dead.is_empty() && self.can_lose(node) => {
                self.crash(node, down);
                self.dead.insert(node);
            }
            _ if self.registry.down_until <= self.now => self.operate(node),
            _ => {}
        }
    }

    /// Disks are lost only where all groups can do without.
    fn strike(&mut self, blow: Blow) {
        let (Blow::Crash(node) | Blow::Wipe(node) | Blow::PutBack(node)) = blow;
        let disk = !matches!(blow, Blow::Crash(_));
        if !self.nodes[node].up || (disk && !self.can_lose(node)) {
            return;
        }
        let image = match blow {
            Blow::Crash(_) => None,
            Blow::Wipe(_) => Some(BTreeMap::new()),
            Blow::PutBack(_) => match self.images.remove(&node) {
                Some(image) => Some(image),
                None => return,
            },
        };
        let down = if disk { self.chance.between(50, 3_000) } else { self.chance.between(1_000, 8_000) };
        self.crash(node, down);
        if let Some(image) = image {
            self.nodes[node].replicas = image;
            self.nodes[node].replicas.values_mut().for_each(Replica::crash);
        }
    }

    /// One follower is behind, another loses its disk, and then the leader dies: what was acknowledged is on one disk only that votes.
    fn one_after_the_other(&mut self) {
        let leaders = self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let leading = node.replicas.values().filter(|replica| replica.leads_surely());
            leading.map(move |replica| (place, replica.config()))
        });
        let leaders: Vec<_> = leaders.collect();
        let Some((leader, config)) = self.chance.pick(&leaders).cloned() else { return };
        let others: Vec<_> = config.voters.into_values().filter(|node| *node != leader).collect();
        let Some(behind) = self.chance.pick(&others).copied() else { return };
        let Some(second) = others.iter().copied().find(|node| *node != behind) else { return };
        let cut = self.chance.between(1_000, 3_000);
        for other in 0..NODES {
            self.network.cut(behind, other, self.now + cut);
            self.network.cut(other, behind, self.now + cut);
        }
        let disk = if self.chance.happens(500) {
            Blow::Wipe(second)
        } else {
            self.images.insert(second, self.nodes[second].replicas.clone());
            Blow::PutBack(second)
        };
        self.after(cut - 500, Event::Blow(disk));
        self.after(cut - 100, Event::Blow(Blow::Crash(leader)));
    }

    /// Two parts of the cluster lose each other.
    fn halves(&mut self) {
        let until = self.now + self.chance.between(1_000, 6_000);
        let side: Vec<bool> = (0..NODES).map(|_| self.chance.happens(500)).collect();
        for (from, to) in (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to))) {
            if side[from] != side[to] {
                self.network.cut(from, to, until);
            }
        }
    }

    fn cut(&mut self, node: usize) {
        let until = self.now + self.chance.between(500, 8_000);
        let one_way = self.chance.happens(300);
        let other = self.chance.below(NODES as u64 + 3) as usize;
        // All others, the registry, or one of them.
        let others: Vec<usize> = match other.checked_sub(NODES) {
            None => vec![other],
            Some(0) => vec![REGISTRY],
            Some(_) => (0..NODES).collect(),
        };
        for other in others {
            self.network.cut(node, other, until);
            if !one_way {
                self.network.cut(other, node, until);
            }
        }
    }

    fn operate(&mut self, node: usize) {
        let Some((_, map)) = self.registry.state.map() else { return };
        let groups: Vec<_> = map.groups.iter().map(|group| group.group).collect();
        let (Some(group), Some(other)) =
            (self.chance.pick(&groups).copied(), self.chance.pick(&groups).copied())
        else {
            return;
        };
        let held: Vec<_> =
            map.group(group).map(|of| of.replicas.iter().map(|r| r.node).collect()).unwrap_or_default();
        let from = self.chance.pick(&held).copied();
        let state = &self.registry.state;
        let few = groups.len() < 6;
        let moving = map.moves.first().map(|slot_move| slot_move.from);
        // Moves are short: without this there would hardly ever be one to give up.
        let gives_up = moving.is_some() && self.chance.happens(300);
        let planned = match self.chance.below(12) {
            _ if gives_up => plan::plan_give_up(state, moving.unwrap_or(group)),
            0 | 1 => plan::plan_move(state, group, from, node_id(node)),
            2 => plan::plan_cancel(state, group),
            3..6 if few => plan::plan_split(state, group, &[]),
            6 | 7 => plan::plan_merge(state, group, other),
            8 => plan::plan_give_up(state, group),
            kind => {
                let standing = match kind {
                    9 if !self.is_anything_else(node) => Standing::Draining,
                    10 if !self.is_anything_else(node) => Standing::Cordoned,
                    _ => Standing::Serving,
                };
                self.registry.use_node(self.now, node, standing);
                return;
            }
        };
        if let Ok(Some(planned)) = planned {
            // Refused like any other caller when it does not fit.
            let _ = self.registry.put(self.now, operator(), planned);
            self.publish(false);
        }
    }

    /// Whether another node than this is drained or cordoned already.
    fn is_anything_else(&self, node: usize) -> bool {
        let mut others = (0..NODES).filter(|other| *other != node);
        others.any(|other| self.registry.state.node_use(node_id(other)).standing != Standing::Serving)
    }

    /// No faults from here on; only what is gone for ever stays so.
    fn calm(&mut self) {
        self.network.calm = true;
        self.registry.down_until = 0;
        for node in 0..NODES {
            self.registry.use_node(self.now, node, Standing::Serving);
            if !self.dead.contains(&node) {
                self.nodes[node].up = true;
            }
        }
    }

    /// A group for whoever looks for the reason.
    fn shown(&self, group: &GroupDescriptor) -> String {
        let of_map = group.replicas.iter().map(|of| format!("{} {:?}", of.replica, of.state));
        let held = self.nodes.iter().enumerate().flat_map(|(place, node)| {
            let own = node.replicas.values().filter(|replica| replica.group == group.group);
            own.map(move |replica| format!("node {place} up {}: {replica}", node.up))
        });
        of_map.chain(held).collect::<Vec<_>>().join("; ")
    }

    /// What is not at rest yet.
    fn unrest(&self) -> Option<String> {
        let state = &self.registry.state;
        let (_, map) = state.map()?;
        for group in &map.groups {
            let id = group.group;
            if !group.is_settled() || group.voters().count() != usize::from(state.wanted(id)) {
                return Some(format!("group {id} is not complete: {}", self.shown(group)));
            }
            let wanted: BTreeSet<_> = group.voters().map(|voter| voter.replica).collect();
            let replicas = self.nodes.iter().filter(|node| node.up).flat_map(|node| node.replicas.values());
            let agrees = |leader: &Replica| {
                let Config { voters, learners } = leader.config();
                learners.is_empty() && voters.into_keys().collect::<BTreeSet<_>>() == wanted
            };
            if !replicas.filter(|replica| replica.group == id && replica.leads_surely()).any(agrees) {
                return Some(format!(
                    "group {id} has another membership than the map: {}",
                    self.shown(group)
                ));
            }
            if state.is_rotating(id) {
                return Some(format!("the key of group {id} is not replaced"));
            }
        }
        if let Some(slot_move) = map.moves.first() {
            return Some(format!("{slot_move:?} has not ended"));
        }
        let dead: BTreeSet<_> = self.dead.iter().map(|node| node_id(*node)).collect();
        if let Some(drop) = state.dropping().find(|(_, _, node)| !dead.contains(node)) {
            return Some(format!("{drop:?} is not deleted"));
        }
        if let Some(change) = placement::next(state, &self.registry.observed(self.now)) {
            return Some(format!("placement wants {change:?}"));
        }
        let wrong = SLOTS.into_iter().find(|slot| {
            let owner = map.groups.iter().find(|group| holds(group, *slot)).map(|group| group.group);
            self.oracle.owner(*slot) != owner
        });
        wrong.map(|slot| {
            format!("slot {slot} is served by {:?}: {}", self.oracle.owner(slot), self.oracle.shown(slot))
        })
    }
}
