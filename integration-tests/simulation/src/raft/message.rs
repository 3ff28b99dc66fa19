//! What replicas write into their logs and say to each other.

use std::collections::BTreeMap;

use holdfast_domain::ReplicaId;

use crate::machine::Command;

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
