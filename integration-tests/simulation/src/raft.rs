//! A small model of one Raft replica: elections, replication, membership by single steps. Log, term and vote are on disk; what else
//! there is goes with the process.

mod election;
mod message;
mod replication;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use holdfast_domain::{GroupId, ReplicaId};

use crate::{chance::Chance, machine::Machine};

pub use message::{Config, Entry, Message, Outgoing, Payload};

/// A leader that was not heard of for this long is replaced.
const ELECTION_MS: u64 = 1_000;
const HEARTBEAT_MS: u64 = 250;
/// Members that answered within this are reachable.
const REACHABLE_MS: u64 = 1_500;

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

    /// Term and number of its last entry.
    pub fn last(&self) -> (u64, usize) {
        (self.log.last().map_or(0, |entry| entry.term), self.log.len())
    }

    /// What its disk holds, as its peers would hold it against it: the term that it may have voted in, and the length of its log.
    pub fn held(&self) -> (u64, usize) {
        (self.term, self.log.len())
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
}
