//! What a group's log does to its slots: a model of the shard machine with the rules of moving slots, and nothing else of it.
//!
//! A slot serves in `Active` and `Moving` only. The source notes nothing here: its rows are what it has, and the fence of a freeze is the
//! very rows that there were. The target activates only what equals the fence.

use std::collections::BTreeMap;

use holdfast_domain::MapEpoch;

/// Writes of a slot, in the order of its log.
pub type Rows = BTreeMap<u16, Vec<u64>>;

/// What a slot does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Takes writes.
    Active,
    /// Takes writes, and another group copies it.
    Moving,
    /// Takes none, until its move has ended.
    Frozen,
    /// Was here.
    Gone,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Rows come.
    Importing,
    /// It serves.
    Activated,
    /// It never will.
    Aborted,
}

/// One command of a group's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The group is complete and begins with these slots.
    Serve(Vec<u16>),
    /// A client's.
    Write(u16, u64),
    /// Source: another group copies these.
    BeginMove(MapEpoch, Vec<u16>),
    /// Source: no writes any more.
    Freeze(MapEpoch),
    /// Source: the move is over and they stayed.
    Unfreeze(MapEpoch),
    /// Source: the move is over and they went.
    Part(MapEpoch),
    /// Target: rows as they were at a position of the source's log.
    Import(MapEpoch, usize, Rows),
    /// Target: from here on it serves, if its rows are those of the fence.
    Activate(MapEpoch, Rows),
    /// Target: never.
    Abort(MapEpoch),
}

/// An import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// How far it is.
    pub phase: Phase,
    /// Of the source's log.
    pub position: usize,
    rows: Rows,
}

/// A group's slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// All that were ever here.
    pub slots: BTreeMap<u16, (Status, Vec<u64>)>,
    /// Moves away from here that have not ended.
    pub outgoing: BTreeMap<MapEpoch, Vec<u16>>,
    /// Moves to here.
    pub incoming: BTreeMap<MapEpoch, Incoming>,
}

impl Machine {
    /// Applies a command; whether it did anything. A write that did is acknowledged.
    pub fn apply(&mut self, command: &Command) -> bool {
        match command {
            Command::Serve(slots) => {
                let new: Vec<_> = slots.iter().filter(|slot| !self.slots.contains_key(slot)).collect();
                new.iter().for_each(|slot| drop(self.slots.insert(**slot, (Status::Active, Vec::new()))));
                !new.is_empty()
            }
            Command::Write(slot, id) => match self.slots.get_mut(slot) {
                Some((Status::Active | Status::Moving, rows)) => {
                    rows.push(*id);
                    true
                }
                _ => false,
            },
            Command::BeginMove(since, slots) => {
                let all = slots.iter().all(|slot| self.status(*slot) == Some(Status::Active));
                if !all || self.outgoing.contains_key(since) {
                    return false;
                }
                self.outgoing.insert(*since, slots.clone());
                self.set(slots, Status::Moving)
            }
            Command::Freeze(since) => {
                self.outgoing.get(since).cloned().is_some_and(|slots| self.set(&slots, Status::Frozen))
            }
            Command::Unfreeze(since) => {
                self.outgoing.remove(since).is_some_and(|slots| self.set(&slots, Status::Active))
            }
            Command::Part(since) => {
                self.outgoing.remove(since).is_some_and(|slots| self.set(&slots, Status::Gone))
            }
            Command::Import(since, position, rows) => {
                let new = Incoming { phase: Phase::Importing, position: 0, rows: Rows::new() };
                let incoming = self.incoming.entry(*since).or_insert(new);
                if incoming.phase != Phase::Importing || *position <= incoming.position {
                    return false;
                }
                (incoming.position, incoming.rows) = (*position, rows.clone());
                true
            }
            Command::Activate(since, fence) => match self.incoming.get_mut(since) {
                Some(incoming) if incoming.phase == Phase::Importing && incoming.rows == *fence => {
                    incoming.phase = Phase::Activated;
                    for (slot, rows) in std::mem::take(&mut incoming.rows) {
                        self.slots.insert(slot, (Status::Active, rows));
                    }
                    true
                }
                _ => false,
            },
            Command::Abort(since) => {
                let new = Incoming { phase: Phase::Importing, position: 0, rows: Rows::new() };
                let incoming = self.incoming.entry(*since).or_insert(new);
                let may = incoming.phase == Phase::Importing;
                if may {
                    incoming.phase = Phase::Aborted;
                }
                may
            }
        }
    }

    fn set(&mut self, slots: &[u16], status: Status) -> bool {
        for slot in slots {
            if let Some((known, _)) = self.slots.get_mut(slot) {
                *known = status;
            }
        }
        true
    }

    /// What a slot does here.
    pub fn status(&self, slot: u16) -> Option<Status> {
        self.slots.get(&slot).map(|(status, _)| *status)
    }

    /// Whether writes to a slot are acknowledged here.
    pub fn serves(&self, slot: u16) -> bool {
        matches!(self.status(slot), Some(Status::Active | Status::Moving))
    }

    /// Rows of these slots.
    pub fn rows(&self, slots: &[u16]) -> Rows {
        let row = |slot: &u16| Some((*slot, self.slots.get(slot)?.1.clone()));
        slots.iter().filter_map(row).collect()
    }
}
