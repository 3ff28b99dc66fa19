//! Two groups that hand one slot to each other, and what clients were told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use holdfast_domain::{KeyGeneration, MapEpoch};
use holdfast_store::{Engine, records::StoredRecord};
use proptest::prelude::*;

use super::super::support::*;
use crate::machine::{
    Batch, Command, IncomingRow, LastMoves, Op, Outcome, OutgoingRow, SlotRow, Table, fingerprint,
    last_moves, slot_key,
};

/// What a protocol without one of its rules would do: the model must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Command ids stay behind.
    NoDedup,
    /// The target activates on what a source says that still serves.
    EarlyFence,
    /// What changed since the rows were read stays behind.
    NoFeed,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Someone decides a write and has it applied at once.
    Write { id: u8, name: u8, delete: bool },
    /// Someone decides a write, which waits in a log.
    Decide { id: u8, name: u8 },
    /// What waits is applied.
    Land { which: u8 },
    /// A home's first write makes its keyring.
    Home { partition: u8 },
    /// The move goes on by one step; so many rows at most.
    Drive { most: u8 },
    /// A leader that was replaced does what it read before.
    Stale { which: u8 },
    /// An operator gives the move up.
    GiveUp,
    /// A replica starts from a snapshot.
    Snapshot { target: bool },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 0u8..4, prop::bool::weighted(0.2))
            .prop_map(|(id, name, delete)| Step::Write { id: id % 30, name, delete }),
        1 => (any::<u8>(), 0u8..4).prop_map(|(id, name)| Step::Decide { id: id % 30, name }),
        1 => any::<u8>().prop_map(|which| Step::Land { which }),
        1 => (0u8..4).prop_map(|partition| Step::Home { partition }),
        8 => (1u8..6).prop_map(|most| Step::Drive { most }),
        1 => any::<u8>().prop_map(|which| Step::Stale { which }),
        1 => prop::bool::weighted(0.2).prop_map(|_| Step::GiveUp),
        1 => any::<bool>().prop_map(|target| Step::Snapshot { target }),
    ]
}

/// Two groups, one slot, and what clients were told.
pub(super) struct World {
    pub(super) groups: [Replica; 2],
    pub(super) source: usize,
    pub(super) since: MapEpoch,
    pub(super) give_up: bool,
    pub(super) flaw: Flaw,
    pub(super) moves: u32,
    pub(super) version: u64,
    pub(super) waiting: Vec<(usize, Command)>,
    /// What drivers proposed before: it may come again.
    pub(super) proposed: Vec<(usize, Command)>,
    pub(super) rows: BTreeMap<u8, (u64, u8)>,
    pub(super) applied: BTreeSet<u8>,
}

pub(super) type Checked = Result<(), String>;

impl World {
    pub(super) fn new(engine: &Arc<dyn Engine>, flaw: Flaw) -> Self {
        let groups = [Replica::ready(engine), Replica::fresh(engine)];
        Self {
            groups,
            source: 0,
            since: MapEpoch(1),
            give_up: false,
            flaw,
            moves: 0,
            version: 0,
            waiting: Vec::new(),
            proposed: Vec::new(),
            rows: BTreeMap::new(),
            applied: BTreeSet::new(),
        }
    }

    pub(super) fn slot_row(&self, group: usize) -> Option<SlotRow> {
        self.groups[group].state.read().slot(slot()).unwrap()
    }

    pub(super) fn outgoing(&self) -> Option<OutgoingRow> {
        let row = self.groups[self.source].state.read().outgoing().unwrap();
        row.filter(|row| row.since == self.since)
    }

    pub(super) fn incoming(&self) -> Option<IncomingRow> {
        let row = self.groups[1 - self.source].state.read().get::<IncomingRow>(&[]).unwrap();
        row.filter(|row| row.since == self.since)
    }

    pub(super) fn last_moves(&self, group: usize) -> LastMoves {
        let reader = self.groups[group].state.read();
        let incoming = reader.get::<IncomingRow>(&[]).unwrap();
        last_moves(reader.outgoing().unwrap().as_ref(), incoming.as_ref())
    }

    pub(super) fn serving(&self) -> Option<(usize, SlotRow)> {
        let rows = (0..2).filter_map(|group| Some((group, self.slot_row(group)?)));
        rows.into_iter().find(|(_, row)| row.serves(row.epoch))
    }

    pub(super) fn step(&mut self, step: &Step) -> Checked {
        match step {
            Step::Write { id, name, delete } => {
                if let Some((group, command)) = self.decide(*id, *name, *delete) {
                    self.land(group, &command)?;
                }
            }
            Step::Decide { id, name } => {
                let decided = self.decide(*id, *name, false);
                self.waiting.extend(decided);
            }
            Step::Land { which } => {
                if !self.waiting.is_empty() {
                    let (group, command) = self.waiting.remove(usize::from(*which) % self.waiting.len());
                    self.land(group, &command)?;
                }
            }
            Step::Home { partition } => self.home(*partition),
            Step::Drive { most } => self.drive(usize::from(*most))?,
            Step::Stale { which } => {
                if !self.proposed.is_empty() {
                    let at = usize::from(*which) % self.proposed.len();
                    let (group, command) = self.proposed[at].clone();
                    self.groups[group].apply(&command);
                }
            }
            Step::GiveUp => self.give_up = true,
            Step::Snapshot { target } => {
                let replica = &mut self.groups[usize::from(*target)];
                let snapshot = replica.dump();
                replica.machine.install(&mut snapshot.as_slice(), META).unwrap();
            }
        }
        self.check()
    }

    pub(super) fn decide(&mut self, id: u8, name: u8, delete: bool) -> Option<(usize, Command)> {
        let (group, row) = self.serving()?;
        self.version = self.version.max(row.high_water) + 1;
        let op = if delete { Op::Delete { key: key(name) } } else { put(name, self.version, id) };
        Some((group, Command::Batch(Batch { slot_epoch: row.epoch, ..batch(id, vec![], vec![op]) })))
    }

    pub(super) fn land(&mut self, group: usize, command: &Command) -> Checked {
        let outcome = self.groups[group].apply(command);
        let Command::Batch(Batch { id, ops, .. }) = command else {
            return Ok(());
        };
        let id = id.as_bytes()[0];
        match outcome {
            Outcome::Applied => {
                if !self.applied.insert(id) {
                    return Err(format!("command {id} was applied twice"));
                }
                for op in ops {
                    match op {
                        Op::Put { key: at, value } => {
                            let name = (0..4).find(|name| key(*name) == *at).unwrap();
                            let record = StoredRecord::parse(value.0.clone()).unwrap();
                            self.rows.insert(name, (record.version().0, id));
                        }
                        Op::Delete { key: at } => self.rows.retain(|name, _| key(*name) != *at),
                        _ => {}
                    }
                }
                Ok(())
            }
            Outcome::Duplicate if !self.applied.contains(&id) => {
                Err(format!("command {id} never was applied"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn home(&mut self, partition: u8) {
        let Some((group, row)) = self.serving() else { return };
        let under = self.groups[group].state.read().get_raw(Table::SlotKeyrings, &slot_key(slot())).unwrap();
        let command = Command::PutPartitionKeyring {
            slot: slot(),
            epoch: row.epoch,
            partition: [100 + partition; 16],
            under: fingerprint(&under.unwrap()),
            previous: None,
            min_generation: KeyGeneration(1),
            sealed: vec![partition; 64].into(),
        };
        // As a decision that waits, it meets keys that were replaced meanwhile.
        if partition.is_multiple_of(2) {
            self.groups[group].apply(&command);
        } else {
            self.waiting.push((group, command));
        }
    }

    /// What must hold after every step.
    pub(super) fn check(&self) -> Checked {
        let serve = |group: &usize| self.slot_row(*group).is_some_and(|row| row.serves(row.epoch));
        let serving: Vec<_> = (0..2).filter(serve).collect();
        if serving.len() > 1 {
            return Err("two groups serve one slot".into());
        }
        for group in serving {
            let reader = self.groups[group].state.read();
            for name in 0..4 {
                let stored = reader.get_raw(Table::Records, &key(name).0).unwrap();
                let expected = self.rows.get(&name).map(|(version, fill)| value(*version, 1, *fill).0);
                if stored != expected {
                    return Err(format!("row {name} of group {group} is not what was acknowledged"));
                }
            }
            drop(reader);
            if !self.groups[group].state.verify_digests().unwrap().is_empty() {
                return Err("a digest does not hold".into());
            }
        }
        Ok(())
    }
}
