//! One node of a run: what its disk holds, which map it saw last, and what it does about both. What is next for a replica is the node's
//! real planner; the rest is a model.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use holdfast_domain::{
    GroupDescriptor, GroupId, KeyGeneration, MapEpoch, ReplicaId, ReplicaState, ShardMap, Slot, SlotMove,
};
use holdfast_registry_state::MapChange;
use holdfast_shard_node::groups::plan::{Change, Own, RaftFacts, Step, next_step};

use crate::{
    base::{node_id, node_of},
    chance::Chance,
    machine::{Command, Phase, Rows, Status},
    raft::{Config, Message, Outgoing, Payload, Replica},
    registry::{Call, Registry},
    rules::Rules,
};

/// The slots that clients write to; all others move with them.
pub const SLOTS: [u16; 8] = [10, 600, 1_100, 1_700, 2_100, 2_700, 3_200, 4_000];

/// What the registry told a node last.
#[derive(Debug, Clone)]
pub struct View {
    /// The signed map.
    pub map: Rc<ShardMap>,
    /// Replicas to delete.
    pub drops: Vec<(GroupId, ReplicaId)>,
    /// Keys to replace.
    pub rotations: BTreeMap<GroupId, KeyGeneration>,
}

/// Between leaders of two groups.
#[derive(Debug, Clone)]
pub enum Transfer {
    /// The target asks for rows; and for the freeze, when it has nearly all.
    Pull {
        /// The move.
        since: MapEpoch,
        /// Its source.
        from: GroupId,
        /// Its target.
        to: GroupId,
        /// Whether nearly all is there.
        freeze: bool,
    },
    /// The source's rows at a position of its log; `fence` when they are the last.
    Piece {
        /// The move.
        since: MapEpoch,
        /// Its target.
        to: GroupId,
        /// Of the source's log.
        position: usize,
        /// All rows at this position.
        rows: Rows,
        /// Nothing follows.
        fence: bool,
    },
}

/// What a node sends.
#[derive(Debug, Clone)]
pub enum Letter {
    /// To a replica of a group.
    Raft {
        /// The group.
        group: GroupId,
        /// The sender.
        from: ReplicaId,
        /// The receiver.
        to: ReplicaId,
        /// What it says.
        message: Message,
    },
    /// To whoever leads.
    Transfer(Transfer),
}

/// A machine.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// Whether the process runs.
    pub up: bool,
    /// Every replica on its disk.
    pub replicas: BTreeMap<(GroupId, ReplicaId), Replica>,
    /// What it knows; none before the first word of the registry.
    pub view: Option<View>,
}

/// What a node wants of the world.
#[derive(Default)]
pub struct Wishes {
    /// To the registry.
    pub calls: Vec<Call>,
    /// To other nodes.
    pub letters: Vec<(usize, Letter)>,
}

/// What a node may look at while it acts.
pub struct Surroundings<'a> {
    /// The node's own place.
    pub me: usize,
    /// The clock.
    pub now: u64,
    /// Only asked what a node would have asked it: whether a key is wrapped.
    pub registry: &'a Registry,
    /// What each replica's peers remember that it acknowledged.
    pub floors: &'a BTreeMap<ReplicaId, (u64, usize)>,
    /// The rules.
    pub rules: Rules,
}

impl Node {
    /// One round over everything that is its business.
    pub fn round(&mut self, at: &Surroundings<'_>, chance: &mut Chance) -> Wishes {
        let mut wishes = Wishes::default();
        let Some(view) = self.view.clone() else { return wishes };
        for group in &view.map.groups {
            if let Some(own) = group.on(node_id(at.me)) {
                self.step(at, group, own.replica, chance, &mut wishes);
                self.serve(at, &view, group, own.replica, &mut wishes);
            }
        }
        self.drop_replicas(at, &view, &mut wishes);
        wishes
    }

    fn drop_replicas(&mut self, at: &Surroundings<'_>, view: &View, wishes: &mut Wishes) {
        for (group, replica) in &view.drops {
            let gone = view.map.group(*group).is_none_or(|of| {
                of.replica(*replica).is_none() && of.voters().any(|voter| voter.node != node_id(at.me))
            });
            if gone {
                self.replicas.remove(&(*group, *replica));
                wishes.calls.push(Call::Dropped(*group, *replica));
            }
        }
    }

    fn step(
        &mut self,
        at: &Surroundings<'_>,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        chance: &mut Chance,
        wishes: &mut Wishes,
    ) {
        let key = (descriptor.group, own);
        let state = descriptor.replica(own).map(|replica| replica.state);
        let floor = at.floors.get(&own).copied().unwrap_or_default();
        let behind = self.replicas.get(&key).map(Replica::last).unwrap_or_default() < floor;
        let trusted = if self.replicas.contains_key(&key) {
            at.rules.old_disk_votes
        } else {
            at.rules.wiped_voter_votes
        };
        // Its peers say that it had more.
        let rolled_back = behind
            && !trusted
            && state != Some(ReplicaState::Founding)
            && !self.replicas.get(&key).is_some_and(|replica| replica.running);
        if rolled_back {
            // It takes no part, not even until it is out.
            if state != Some(ReplicaState::Leaving) {
                wishes.calls.push(Call::Report(MapChange::Lost { group: key.0, replica: own }));
            }
            return;
        }
        let mut facts = facts(self.replicas.get(&key), at.now);
        if at.rules.pending_is_done {
            facts.change = Change::Done;
        }
        let mut step = next_step(own, descriptor, &facts);
        if at.rules.wiped_voter_votes && step == Step::ReportLost {
            step = Step::Join;
        }
        self.take(at, key, step, chance, wishes);
    }

    fn take(
        &mut self,
        at: &Surroundings<'_>,
        key: (GroupId, ReplicaId),
        step: Step,
        chance: &mut Chance,
        wishes: &mut Wishes,
    ) {
        let (group, own) = key;
        let report = |change| Call::Report(change);
        match step {
            Step::Rest => {}
            Step::Found => {
                let replica = self.replicas.entry(key).or_insert_with(|| Replica::founder(group, own, at.me));
                if !replica.running {
                    replica.start(at.now, chance);
                }
                wishes.calls.push(Call::Found(group, own, chance.happens(800)));
            }
            Step::Join => {
                if at.rules.wiped_voter_votes
                    || at.registry.newest(group, at.me).is_some_and(|(_, open)| open)
                {
                    let replica = self.replicas.entry(key).or_insert_with(|| Replica::new(group, own));
                    replica.start(at.now, chance);
                }
            }
            Step::Resume => {
                if let Some(replica) = self.replicas.get_mut(&key) {
                    replica.start(at.now, chance);
                }
            }
            Step::ReportLost => wishes.calls.push(report(MapChange::Lost { group, replica: own })),
            Step::ReportPromoted(replica) => {
                wishes.calls.push(report(MapChange::Promoted { group, by: own, replica }));
            }
            Step::ReportRemoved(replica) => {
                wishes.calls.push(report(MapChange::Removed { group, by: own, replica }));
            }
            Step::FinishChange => {}
            Step::Admit(id) => self.admit(at, key, id, wishes),
            Step::Promote(id) => self.reconfigure(key, |config| {
                if let Some(node) = config.learners.remove(&id) {
                    config.voters.insert(id, node);
                }
            }),
            Step::Remove(id) => self.reconfigure(key, |config| {
                config.voters.remove(&id);
                config.learners.remove(&id);
            }),
            Step::TransferLead(to) => {
                let mut out = Vec::new();
                if let Some(replica) = self.replicas.get(&key) {
                    replica.transfer(to, &mut out);
                }
                post(key, out, wishes);
            }
        }
    }

    /// The key first, then membership.
    fn admit(
        &mut self,
        at: &Surroundings<'_>,
        key: (GroupId, ReplicaId),
        id: ReplicaId,
        wishes: &mut Wishes,
    ) {
        let Some(view) = &self.view else { return };
        let of = view.map.group(key.0).and_then(|group| group.replica(id));
        let Some(node) = of.and_then(|replica| node_of(replica.node)) else { return };
        if at.registry.newest(key.0, node).is_none_or(|(_, open)| !open) {
            return wishes.calls.push(Call::Wrap(key.0, node));
        }
        self.reconfigure(key, |config| {
            config.learners.insert(id, node);
        });
    }

    fn reconfigure(&mut self, key: (GroupId, ReplicaId), change: impl FnOnce(&mut Config)) {
        if let Some(replica) = self.replicas.get_mut(&key) {
            let mut config = replica.config();
            change(&mut config);
            replica.propose(Payload::Config(config));
        }
    }

    /// What a leader does for its group's slots and key.
    fn serve(
        &mut self,
        at: &Surroundings<'_>,
        view: &View,
        group: &GroupDescriptor,
        own: ReplicaId,
        wishes: &mut Wishes,
    ) {
        let Some(replica) = self.replicas.get_mut(&(group.group, own)) else { return };
        if !replica.leads_surely() {
            return;
        }
        // Slots that came from elsewhere are known to the log, and those that went away are for ever.
        let unknown = |slot: &u16| holds(group, *slot) && replica.machine.status(*slot).is_none();
        let new: Vec<u16> = SLOTS.into_iter().filter(unknown).collect();
        let asked = !is_new(replica, |command| matches!(command, Command::Serve(_)));
        if !new.is_empty() && group.is_settled() && !asked {
            replica.propose(Payload::Command(Command::Serve(new)));
        }
        for (since, slots) in replica.machine.outgoing.clone() {
            let listed = view.map.moves.iter().find(|slot_move| slot_move.since == since);
            let given_up = at.rules.unfreeze_on_give_up && listed.is_some_and(|slot_move| slot_move.give_up);
            // An older map than the move's own does not list it either.
            if view.map.epoch < since || (listed.is_some() && !given_up) {
                continue;
            }
            let kept = slots.iter().all(|slot| holds(group, *slot));
            let command = if kept { Command::Unfreeze(since) } else { Command::Part(since) };
            replica.propose(Payload::Command(command));
        }
        if let Some(slot_move) = view.map.moves.iter().find(|slot_move| slot_move.to == group.group) {
            import(replica, view, slot_move, wishes);
        }
        let rotation = view.rotations.get(&group.group);
        if let Some(above) = rotation
            && group.replica(own).is_some_and(|own| own.state == ReplicaState::Voter)
        {
            wishes.calls.push(Call::Rotate(group.group, own, *above));
        }
    }

    /// Takes a letter of another node.
    pub fn receive(
        &mut self,
        at: &Surroundings<'_>,
        from: usize,
        letter: Letter,
        chance: &mut Chance,
    ) -> Wishes {
        let mut wishes = Wishes::default();
        match letter {
            Letter::Raft { group, from: sender, to, message } => {
                if let Some(replica) = self.replicas.get_mut(&(group, to)).filter(|replica| replica.running) {
                    let mut out = Vec::new();
                    replica.receive((sender, from), message, at.now, chance, &mut out);
                    post((group, to), out, &mut wishes);
                }
            }
            Letter::Transfer(Transfer::Pull { since, from: source, to, freeze }) => {
                self.give(from, (since, source, to), freeze, &mut wishes);
            }
            Letter::Transfer(Transfer::Piece { since, to, position, rows, fence }) => {
                self.take_in(at, (since, to), position, rows, fence);
            }
        }
        wishes
    }

    fn leader(&mut self, group: GroupId) -> Option<&mut Replica> {
        self.replicas.values_mut().find(|replica| replica.group == group && replica.leads_surely())
    }

    /// The source's part.
    fn give(
        &mut self,
        asker: usize,
        (since, source, to): (MapEpoch, GroupId, GroupId),
        freeze: bool,
        wishes: &mut Wishes,
    ) {
        let Some(view) = self.view.clone() else { return };
        let listed = view.map.moves.iter().find(|known| known.since == since && known.from == source);
        let Some(slot_move) = listed else { return };
        let Some(replica) = self.leader(source) else { return };
        let slots = sampled(slot_move);
        if !replica.machine.outgoing.contains_key(&since) {
            if is_new(replica, |command| matches!(command, Command::BeginMove(of, _) if *of == since)) {
                replica.propose(Payload::Command(Command::BeginMove(since, slots)));
            }
            return;
        }
        let fence = slots.iter().all(|slot| replica.machine.status(*slot) == Some(Status::Frozen));
        if freeze
            && !fence
            && is_new(replica, |command| matches!(command, Command::Freeze(of) if *of == since))
        {
            replica.propose(Payload::Command(Command::Freeze(since)));
        }
        let (position, rows) = (replica.commit, replica.machine.rows(&slots));
        let piece = Transfer::Piece { since, to, position, rows, fence };
        wishes.letters.push((asker, Letter::Transfer(piece)));
    }

    /// The target's part.
    fn take_in(
        &mut self,
        at: &Surroundings<'_>,
        (since, to): (MapEpoch, GroupId),
        position: usize,
        rows: Rows,
        fence: bool,
    ) {
        let Some(replica) = self.leader(to) else { return };
        let known = replica.machine.incoming.get(&since);
        if known.is_some_and(|incoming| incoming.phase != Phase::Importing) {
            return;
        }
        let again = known.is_some();
        replica.propose(Payload::Command(Command::Import(since, position, rows.clone())));
        if fence || (at.rules.activate_before_freeze && again) {
            replica.propose(Payload::Command(Command::Activate(since, rows)));
        }
    }
}

/// Whether no such command waits in a log.
fn is_new(replica: &Replica, is: impl Fn(&Command) -> bool) -> bool {
    let waiting = &replica.log[replica.commit..];
    !waiting.iter().any(|entry| matches!(&entry.payload, Payload::Command(command) if is(command)))
}

/// The target's leader, by what its log says of the move.
fn import(replica: &mut Replica, view: &View, slot_move: &SlotMove, wishes: &mut Wishes) {
    let SlotMove { since, from, to, slots: _, give_up } = slot_move;
    let (since, group, by) = (*since, *to, replica.id);
    let phase = replica.machine.incoming.get(&since).map(|incoming| incoming.phase);
    match phase {
        Some(Phase::Activated) => wishes.calls.push(Call::Report(MapChange::SlotsMoved { since, by })),
        Some(Phase::Aborted) => wishes.calls.push(Call::Report(MapChange::SlotsKept { since, by })),
        None | Some(Phase::Importing) if *give_up => {
            replica.propose(Payload::Command(Command::Abort(since)));
        }
        None | Some(Phase::Importing) => {
            let sources = view.map.group(*from).into_iter().flat_map(|group| &group.replicas);
            let nodes: BTreeSet<_> = sources.filter_map(|replica| node_of(replica.node)).collect();
            let freeze = phase.is_some();
            let pull = Transfer::Pull { since, from: *from, to: group, freeze };
            wishes.letters.extend(nodes.into_iter().map(|node| (node, Letter::Transfer(pull.clone()))));
        }
    }
}

/// Puts a replica's messages into envelopes.
pub fn post((group, from): (GroupId, ReplicaId), out: Vec<Outgoing>, wishes: &mut Wishes) {
    let letters =
        out.into_iter().map(|(to, node, message)| (node, Letter::Raft { group, from, to, message }));
    wishes.letters.extend(letters);
}

/// Whether a group has a slot, as the map says.
pub fn holds(group: &GroupDescriptor, slot: u16) -> bool {
    Slot::try_from(slot).is_ok_and(|slot| group.holds(slot))
}

fn sampled(slot_move: &SlotMove) -> Vec<u16> {
    let inside = |slot: &u16| {
        slot_move.slots.iter().any(|(first, last)| (first.number()..=last.number()).contains(slot))
    };
    SLOTS.into_iter().filter(inside).collect()
}

fn facts(replica: Option<&Replica>, now: u64) -> RaftFacts {
    let Some(replica) = replica else {
        return RaftFacts {
            own: Own::Absent,
            voters: BTreeSet::new(),
            learners: BTreeSet::new(),
            change: Change::Done,
            last_log: 0,
            matched: BTreeMap::new(),
            reachable: BTreeSet::new(),
            complete: BTreeSet::new(),
            put_off: BTreeSet::new(),
        };
    };
    let Config { voters, learners } = replica.config();
    let own = match (replica.running, replica.leads_surely()) {
        (false, _) => Own::Stopped,
        (true, true) => Own::Leads,
        (true, false) => Own::Follows,
    };
    RaftFacts {
        own,
        complete: voters.keys().chain(learners.keys()).copied().collect(),
        voters: voters.into_keys().collect(),
        learners: learners.into_keys().collect(),
        change: if replica.config_is_committed() { Change::Done } else { Change::Pending },
        last_log: replica.log.len() as u64,
        matched: replica.matched(),
        reachable: replica.reachable(now),
        put_off: BTreeSet::new(),
    }
}
