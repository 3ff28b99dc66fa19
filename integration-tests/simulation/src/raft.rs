//! A small model of one Raft replica: elections, replication, membership by single steps. Log, term and vote are on disk; what else
//! there is goes with the process.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use holdfast_domain::{GroupId, ReplicaId};

use crate::{
    chance::Chance,
    machine::{Command, Machine},
};

/// A leader that was not heard of for this long is replaced.
const ELECTION_MS: u64 = 1_000;
const HEARTBEAT_MS: u64 = 250;
/// Members that answered within this are reachable.
const REACHABLE_MS: u64 = 1_500;
/// Entries in one message.
const BATCH: usize = 64;

/// Who is in a group, and on which node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// With a vote.
    pub voters: BTreeMap<ReplicaId, usize>,
    /// Without.
    pub learners: BTreeMap<ReplicaId, usize>,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A leader begins.
    Blank,
    /// From here on these are the members.
    Config(Config),
    /// For the machine.
    Command(Command),
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of the leader that wrote it.
    pub term: u64,
    /// What it says.
    pub payload: Payload,
}

/// Between replicas. Each names its sender's term.
#[derive(Debug, Clone)]
pub enum Message {
    /// What follows an entry, and how much is committed.
    Append {
        /// The leader's.
        term: u64,
        /// Number of entries before.
        prev: usize,
        /// Term of the last of them.
        prev_term: u64,
        /// What follows.
        entries: Vec<Entry>,
        /// Number of committed entries.
        commit: usize,
    },
    /// An answer to that.
    Appended {
        /// The follower's.
        term: u64,
        /// Whether the logs agree up to `len`.
        agrees: bool,
        /// How far they do, or how long this one is.
        len: usize,
    },
    /// A candidate.
    Ask {
        /// For which term.
        term: u64,
        /// The end of its log.
        last: (u64, usize),
        /// The leader itself asked for it.
        transfer: bool,
    },
    /// A vote.
    Vote {
        /// For which term.
        term: u64,
    },
    /// Take the lead over.
    TakeOver {
        /// The leader's.
        term: u64,
    },
}

/// To whom, on which node, what.
pub type Outgoing = (ReplicaId, usize, Message);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    Candidate,
    Leader,
}

/// One replica.
#[derive(Debug, Clone)]
pub struct Replica {
    /// Its id.
    pub id: ReplicaId,
    /// Its group.
    pub group: GroupId,
    /// On disk.
    pub log: Vec<Entry>,
    configs: Vec<usize>,
    term: u64,
    voted: Option<ReplicaId>,
    /// Whether the process runs it.
    pub running: bool,
    role: Role,
    /// Entries that are committed, as far as this replica knows.
    pub commit: usize,
    /// What the committed entries made.
    pub machine: Machine,
    applied: usize,
    votes: BTreeSet<ReplicaId>,
    matched: BTreeMap<ReplicaId, usize>,
    next: BTreeMap<ReplicaId, usize>,
    answered: BTreeMap<ReplicaId, u64>,
    /// When the leader was heard of last.
    heard: u64,
    deadline: u64,
    beat: u64,
}

impl fmt::Display for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config { voters, learners } = self.config();
        let (voters, learners): (Vec<_>, Vec<_>) =
            (voters.into_keys().collect(), learners.into_keys().collect());
        let (id, len, commit, term) = (self.id, self.log.len(), self.commit, self.term);
        let what = if self.running { format!("{:?}", self.role) } else { "stopped".to_owned() };
        write!(f, "{id} {what}, {commit} of {len} in term {term}, voters {voters:?}, learners {learners:?}")
    }
}

impl Replica {
    /// A replica without a log.
    pub fn new(group: GroupId, id: ReplicaId) -> Self {
        Self {
            id,
            group,
            log: Vec::new(),
            configs: Vec::new(),
            term: 0,
            voted: None,
            running: false,
            role: Role::Follower,
            commit: 0,
            machine: Machine::default(),
            applied: 0,
            votes: BTreeSet::new(),
            matched: BTreeMap::new(),
            next: BTreeMap::new(),
            answered: BTreeMap::new(),
            heard: 0,
            deadline: 0,
            beat: 0,
        }
    }

    /// A group's first replica.
    pub fn founder(group: GroupId, id: ReplicaId, node: usize) -> Self {
        let mut replica = Self::new(group, id);
        replica.term = 1;
        let config = Config { voters: [(id, node)].into(), learners: BTreeMap::new() };
        replica.push(Entry { term: 1, payload: Payload::Config(config) });
        replica
    }

    /// Everything that was not on disk is gone.
    pub fn crash(&mut self) {
        (self.running, self.role, self.commit, self.applied) = (false, Role::Follower, 0, 0);
        self.machine = Machine::default();
        (self.heard, self.deadline) = (0, 0);
    }

    /// The process runs it from now on.
    pub fn start(&mut self, now: u64, chance: &mut Chance) {
        self.running = true;
        self.deadline = now + chance.between(ELECTION_MS, 2 * ELECTION_MS);
    }

    /// The members, as the newest entry says.
    pub fn config(&self) -> Config {
        match self.configs.last().map(|at| &self.log[*at].payload) {
            Some(Payload::Config(config)) => config.clone(),
            _ => Config::default(),
        }
    }

    /// All memberships of its log.
    pub fn configs(&self) -> impl Iterator<Item = &Config> {
        self.configs.iter().filter_map(|at| match &self.log[*at].payload {
            Payload::Config(config) => Some(config),
            _ => None,
        })
    }

    /// Whether the newest membership is committed.
    pub fn config_is_committed(&self) -> bool {
        self.configs.last().is_none_or(|at| *at < self.commit)
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.running && self.role == Role::Leader
    }

    /// Whether it leads and has committed an entry of its own term.
    pub fn leads_surely(&self) -> bool {
        self.leads() && self.commit > 0 && self.log[self.commit - 1].term == self.term
    }

    /// Up to where each other member's log agrees.
    pub fn matched(&self) -> BTreeMap<ReplicaId, u64> {
        self.matched.iter().map(|(id, len)| (*id, *len as u64)).collect()
    }

    /// Members that answered a moment ago.
    pub fn reachable(&self, now: u64) -> BTreeSet<ReplicaId> {
        let recent = self.answered.iter().filter(|(_, at)| **at + REACHABLE_MS >= now);
        recent.map(|(id, _)| *id).chain([self.id]).collect()
    }

    fn push(&mut self, entry: Entry) {
        if matches!(entry.payload, Payload::Config(_)) {
            self.configs.push(self.log.len());
        }
        self.log.push(entry);
    }

    fn truncate(&mut self, len: usize) {
        self.log.truncate(len);
        self.configs.retain(|at| *at < len);
    }

    /// Adds an entry, if it leads.
    pub fn propose(&mut self, payload: Payload) -> bool {
        if !self.leads() {
            return false;
        }
        self.push(Entry { term: self.term, payload });
        self.advance();
        true
    }

    /// What is due.
    pub fn tick(&mut self, now: u64, chance: &mut Chance, out: &mut Vec<Outgoing>) {
        if !self.running {
            return;
        }
        if self.role == Role::Leader {
            if now >= self.beat {
                self.beat = now + HEARTBEAT_MS;
                self.replicate(out);
            }
        } else if now >= self.deadline {
            self.deadline = now + chance.between(ELECTION_MS, 2 * ELECTION_MS);
            self.campaign(now, false, out);
        }
    }

    fn campaign(&mut self, now: u64, transfer: bool, out: &mut Vec<Outgoing>) {
        let config = self.config();
        if !config.voters.contains_key(&self.id) {
            return;
        }
        self.term += 1;
        (self.voted, self.role) = (Some(self.id), Role::Candidate);
        self.votes = [self.id].into();
        let (term, last) = (self.term, self.last());
        let others = config.voters.iter().filter(|(id, _)| **id != self.id);
        out.extend(others.map(|(id, node)| (*id, *node, Message::Ask { term, last, transfer })));
        self.count(now, out);
    }

    /// Term and number of its last entry.
    pub fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |entry| entry.term), self.log.len())
    }

    fn count(&mut self, now: u64, out: &mut Vec<Outgoing>) {
        let config = self.config();
        let votes = config.voters.keys().filter(|id| self.votes.contains(id)).count();
        if self.role != Role::Candidate || votes * 2 <= config.voters.len() {
            return;
        }
        self.role = Role::Leader;
        self.matched.clear();
        self.answered.clear();
        self.next.clear();
        self.beat = now + HEARTBEAT_MS;
        self.propose(Payload::Blank);
        self.replicate(out);
    }

    /// What each other member lacks.
    pub fn replicate(&mut self, out: &mut Vec<Outgoing>) {
        let config = self.config();
        let own = self.id;
        for (id, node) in config.voters.iter().chain(&config.learners).filter(|(id, _)| **id != own) {
            let prev = self.next.get(id).copied().unwrap_or(self.log.len()).min(self.log.len());
            let prev_term = if prev == 0 { 0 } else { self.log[prev - 1].term };
            let entries = self.log[prev..].iter().take(BATCH).cloned().collect();
            let (term, commit) = (self.term, self.commit);
            out.push((*id, *node, Message::Append { term, prev, prev_term, entries, commit }));
        }
    }

    /// Asks a voter to take the lead over.
    pub fn transfer(&self, to: ReplicaId, out: &mut Vec<Outgoing>) {
        if let Some(node) = self.config().voters.get(&to) {
            out.push((to, *node, Message::TakeOver { term: self.term }));
        }
    }

    fn advance(&mut self) {
        let config = self.config();
        let mut held: Vec<usize> = config
            .voters
            .keys()
            .map(
                |id| if *id == self.id { self.log.len() } else { self.matched.get(id).copied().unwrap_or(0) },
            )
            .collect();
        held.sort_unstable();
        let Some(by_majority) = held.get(held.len().saturating_sub(1) / 2).copied() else { return };
        if by_majority > self.commit && self.log[by_majority - 1].term == self.term {
            self.commit = by_majority;
            self.apply();
        }
    }

    fn apply(&mut self) {
        while self.applied < self.commit {
            if let Payload::Command(command) = &self.log[self.applied].payload {
                self.machine.apply(&command.clone());
            }
            self.applied += 1;
        }
    }

    /// Takes a message of another member.
    pub fn receive(
        &mut self,
        (from, from_node): (ReplicaId, usize),
        message: Message,
        now: u64,
        chance: &mut Chance,
        out: &mut Vec<Outgoing>,
    ) {
        let term = match &message {
            Message::Append { term, .. }
            | Message::Appended { term, .. }
            | Message::Ask { term, .. }
            | Message::Vote { term }
            | Message::TakeOver { term } => *term,
        };
        // Who hears of a leader does not help to replace it.
        let content = self.leads() || self.heard + ELECTION_MS > now && self.heard > 0;
        if content && matches!(message, Message::Ask { transfer: false, .. }) {
            return;
        }
        if term > self.term {
            (self.term, self.voted, self.role) = (term, None, Role::Follower);
        }
        match message {
            Message::Append { term, prev, prev_term, entries, commit } => {
                if term < self.term {
                    // It must hear of the newer term, or it would go on asking whoever was cut off for ever.
                    let (term, len) = (self.term, self.log.len());
                    out.push((from, from_node, Message::Appended { term, agrees: false, len }));
                    return;
                }
                self.role = Role::Follower;
                self.heard = now;
                self.deadline = now + chance.between(ELECTION_MS, 2 * ELECTION_MS);
                let (agrees, len) = self.append(prev, prev_term, entries, commit);
                out.push((from, from_node, Message::Appended { term, agrees, len }));
            }
            Message::Appended { term, agrees, len } if term == self.term && self.role == Role::Leader => {
                self.answered.insert(from, now);
                if agrees {
                    let known = self.matched.entry(from).or_default();
                    *known = len.max(*known);
                    self.next.insert(from, *known);
                    self.advance();
                } else {
                    let next = self.next.get(&from).copied().unwrap_or(self.log.len());
                    self.next.insert(from, len.min(next.saturating_sub(1)));
                }
            }
            Message::Ask { term, .. } if term < self.term => {
                // Who asks may not be in this one's membership, and hear of its term from nobody else.
                let (term, len) = (self.term, self.log.len());
                out.push((from, from_node, Message::Appended { term, agrees: false, len }));
            }
            Message::Ask { term, last, transfer: _ } if term == self.term => {
                let free = self.voted.is_none_or(|voted| voted == from);
                if free && last >= self.last() {
                    self.voted = Some(from);
                    self.deadline = now + chance.between(ELECTION_MS, 2 * ELECTION_MS);
                    out.push((from, from_node, Message::Vote { term }));
                }
            }
            Message::Vote { term } if term == self.term && self.role == Role::Candidate => {
                self.votes.insert(from);
                self.count(now, out);
            }
            Message::TakeOver { term } if term == self.term => self.campaign(now, true, out),
            _ => {}
        }
    }

    fn append(&mut self, prev: usize, prev_term: u64, entries: Vec<Entry>, commit: usize) -> (bool, usize) {
        let fits = prev <= self.log.len() && (prev == 0 || self.log[prev - 1].term == prev_term);
        if !fits {
            return (false, self.log.len().min(prev.saturating_sub(1)));
        }
        let end = prev + entries.len();
        for (at, entry) in (prev..).zip(entries) {
            if self.log.get(at).is_some_and(|known| known.term != entry.term) {
                self.truncate(at);
            }
            if at >= self.log.len() {
                self.push(entry);
            }
        }
        self.commit = self.commit.max(commit.min(end));
        self.apply();
        (true, end)
    }
}
