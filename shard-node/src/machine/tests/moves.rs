//! Slots that change hands, against a model: whatever the order of writes, pulls, fences, crashes and second thoughts, each
//! command counts once, none is lost, and no two groups serve.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use holdfast_domain::{CommandId, GroupId, KeyGeneration, Lineage, MapEpoch, PolicyEpoch, Sha256Hash, Slot};
use holdfast_keys::{SlotKey, SlotKeyring};
use holdfast_store::{
    Engine, KeyRange, ScanLimit,
    records::{PartitionToken, StoredRecord},
};
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

use super::support::*;
use crate::machine::{
    Batch, Blob, Command, Fence, FencedSlot, IncomingPhase, IncomingRow, LastMoves, MoveCommand, MovedRow,
    Op, Outcome, OutgoingPhase, OutgoingRow, Position, Rekeyed, Row as _, SlotEpoch, SlotKeyringRow, SlotRow,
    SlotStatus, Table, fingerprint, last_moves, moves::TRAVEL, partition_key, slot_key, slot_of, slots_of,
    travel::Pulled,
};

/// What a protocol without one of its rules would do: the model must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// Command ids stay behind.
    NoDedup,
    /// The target activates on what a source says that still serves.
    EarlyFence,
    /// What changed since the rows were read stays behind.
    NoFeed,
}

#[derive(Debug, Clone)]
enum Step {
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

fn step() -> impl Strategy<Value = Step> {
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
struct World {
    groups: [Replica; 2],
    source: usize,
    since: MapEpoch,
    give_up: bool,
    flaw: Flaw,
    moves: u32,
    version: u64,
    waiting: Vec<(usize, Command)>,
    /// What drivers proposed before: it may come again.
    proposed: Vec<(usize, Command)>,
    rows: BTreeMap<u8, (u64, u8)>,
    applied: BTreeSet<u8>,
}

type Checked = Result<(), String>;

impl World {
    fn new(engine: &Arc<dyn Engine>, flaw: Flaw) -> Self {
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

    fn slot_row(&self, group: usize) -> Option<SlotRow> {
        self.groups[group].state.read().get(&slot_key(slot())).unwrap()
    }

    fn outgoing(&self) -> Option<OutgoingRow> {
        let row = self.groups[self.source].state.read().outgoing().unwrap();
        row.filter(|row| row.since == self.since)
    }

    fn incoming(&self) -> Option<IncomingRow> {
        let row = self.groups[1 - self.source].state.read().get::<IncomingRow>(&[]).unwrap();
        row.filter(|row| row.since == self.since)
    }

    fn last_moves(&self, group: usize) -> LastMoves {
        let reader = self.groups[group].state.read();
        let incoming = reader.get::<IncomingRow>(&[]).unwrap();
        last_moves(reader.outgoing().unwrap().as_ref(), incoming.as_ref())
    }

    fn serving(&self) -> Option<(usize, SlotRow)> {
        let rows = (0..2).filter_map(|group| Some((group, self.slot_row(group)?)));
        rows.into_iter().find(|(_, row)| row.serves(row.epoch))
    }

    fn step(&mut self, step: &Step) -> Checked {
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

    /// A write as whoever serves would decide it.
    fn decide(&mut self, id: u8, name: u8, delete: bool) -> Option<(usize, Command)> {
        let (group, row) = self.serving()?;
        self.version = self.version.max(row.high_water) + 1;
        let op = if delete { Op::Delete { key: key(name) } } else { put(name, self.version, id) };
        Some((group, Command::Batch(Batch { slot_epoch: row.epoch, ..batch(id, vec![], vec![op]) })))
    }

    fn land(&mut self, group: usize, command: &Command) -> Checked {
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

    fn home(&mut self, partition: u8) {
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

    fn propose(&mut self, group: usize, command: MoveCommand) -> Outcome {
        let command = Command::Move(command);
        self.proposed.push((group, command.clone()));
        self.groups[group].apply(&command)
    }

    /// What the leaders of both groups would do next.
    fn drive(&mut self, most: usize) -> Checked {
        let (source, target, since) = (self.source, 1 - self.source, self.since);
        let (from, to) = (self.groups[source].state.keys().group(), self.groups[target].state.keys().group());
        let slots = vec![(slot(), slot())];
        match self.incoming().map(|row| row.phase) {
            None if self.give_up => drop(self.propose(target, MoveCommand::AbortImport { since, from })),
            None if self.slot_row(target).is_some_and(|row| row.status == SlotStatus::Gone) => {
                self.clean(target);
            }
            None => {
                let (generation, sealed) = (KeyGeneration(1), vec![1; 32].into());
                let key =
                    MoveCommand::PutTransferKey { since, from, slots, generation, sealed, public: [3; 32] };
                self.expect(target, key)?;
            }
            Some(IncomingPhase::Prepared | IncomingPhase::Importing { .. }) if self.give_up => {
                self.expect(target, MoveCommand::AbortImport { since, from })?;
            }
            Some(IncomingPhase::Prepared) => {
                self.expect(
                    source,
                    MoveCommand::BeginMove { since, to, slots, lineage: Lineage(0), transfer_key: [3; 32] },
                )?;
                self.expect(target, MoveCommand::BeginImport { since })?;
            }
            Some(IncomingPhase::Importing { position }) => self.import(position, most)?,
            Some(IncomingPhase::Activated) => {
                self.moves += 1;
                if self.flaw == Flaw::EarlyFence {
                    // A source that never froze would refuse to part: that is too late, and not what is shown.
                    self.propose(source, MoveCommand::FreezeSlots { since });
                }
                self.expect(source, MoveCommand::PartWithSlots { since })?;
                self.rekey(target)?;
                self.clean(source);
                self.source = target;
                self.next_move();
            }
            Some(IncomingPhase::Aborted) => {
                if self.outgoing().is_some() {
                    self.expect(source, MoveCommand::UnfreezeSlots { since })?;
                }
                self.clean(target);
                self.next_move();
            }
        }
        Ok(())
    }

    fn next_move(&mut self) {
        self.since = MapEpoch(self.since.0 + 1);
        self.give_up = false;
    }

    fn expect(&mut self, group: usize, command: MoveCommand) -> Checked {
        match self.propose(group, command.clone()) {
            Outcome::Applied => Ok(()),
            other => Err(format!("{command:?} was answered {other:?}")),
        }
    }

    fn import(&mut self, position: Position, most: usize) -> Checked {
        let (source, target, since) = (self.source, 1 - self.source, self.since);
        let Some(outgoing) = self.outgoing() else { return Err("the source knows of no move".into()) };
        let Pulled { rows, mut to, caught_up } =
            self.groups[source].state.read().pull(&outgoing, &position, most).unwrap();
        if caught_up && position == to {
            if let Some(fence) = self.fence(&outgoing) {
                return self.expect(target, MoveCommand::Activate { since, fence });
            }
            return self.expect(source, MoveCommand::FreezeSlots { since });
        }
        let mut rows: Vec<_> = rows.into_iter().map(|row| self.translate(row)).collect();
        match (self.flaw, &mut to) {
            (Flaw::NoDedup, _) => rows.retain(|row| row.table != Table::Dedup.number()),
            // It says that it is done, as if nothing had changed.
            (Flaw::NoFeed, Position::Feed { .. }) => rows.clear(),
            _ => {}
        }
        self.expect(target, MoveCommand::ImportRows { since, from: position, to, rows })
    }

    fn fence(&self, outgoing: &OutgoingRow) -> Option<Fence> {
        let reader = self.groups[self.source].state.read();
        if self.flaw != Flaw::EarlyFence {
            return reader.fence(self.since).unwrap();
        }
        let Some(IncomingPhase::Importing { position: Position::Feed { next, .. } }) =
            self.incoming().map(|row| row.phase)
        else {
            return None;
        };
        let slots = slots_of(&outgoing.slots).map(|slot| {
            let row = reader.get::<SlotRow>(&slot_key(slot)).unwrap().unwrap();
            let SlotRow { epoch, high_water, digest, records, partitions, .. } = row;
            FencedSlot { slot, epoch, high_water, digest, records, partitions }
        });
        Some(Fence { frozen: next - 1, min_policy: PolicyEpoch(0), slots: slots.collect() })
    }

    /// As the two leaders do with a slot's keyring.
    fn translate(&self, row: MovedRow) -> MovedRow {
        if row.table != Table::SlotKeyrings.number() {
            return row;
        }
        let (from, to) = (&self.groups[self.source].state, &self.groups[1 - self.source].state);
        let sealed = SlotKeyringRow::decode(&row.value.unwrap().0).unwrap();
        let keyring = from.keys().open_slot(slot(), &sealed).unwrap();
        let sealed = to.keys().seal_slot(slot(), &keyring).unwrap();
        MovedRow { value: Some(sealed.encode().unwrap().into()), ..row }
    }

    fn rekey(&mut self, group: usize) -> Checked {
        let state = Arc::clone(&self.groups[group].state);
        let row = self.slot_row(group).unwrap();
        if !row.stale_key {
            return Err("a slot that came has stale keys".into());
        }
        let present = state.read().get_raw(Table::SlotKeyrings, &slot_key(slot())).unwrap().unwrap();
        let old = state.keys().open_slot(slot(), &SlotKeyringRow::decode(&present).unwrap()).unwrap();
        let SlotKeyring { locator, digest, .. } = old;
        let keyring = SlotKeyring { slot: SlotKey::generate().unwrap(), locator, digest };
        let SlotKeyringRow { generation, sealed } = state.keys().seal_slot(slot(), &keyring).unwrap();
        let range = KeyRange::prefix(slot_key(slot()).to_vec());
        let page = state.read().scan(Table::PartitionKeyrings, &range, ScanLimit::MAX).unwrap();
        let rekeyed = |row: &holdfast_store::Row| Rekeyed {
            partition: row.key[2..].try_into().unwrap(),
            previous: fingerprint(&row.value),
            sealed: vec![9; 64].into(),
        };
        let partitions: Vec<_> = page.rows.iter().map(rekeyed).collect();
        let command = |partitions| MoveCommand::RekeySlot {
            slot: slot(),
            epoch: row.epoch,
            previous: fingerprint(&present),
            generation,
            sealed: sealed.clone(),
            partitions,
        };
        if self.propose(group, command(partitions[1..].to_vec())) != Outcome::Conflict {
            return Err("a keyring was left out".into());
        }
        self.expect(group, command(partitions))
    }

    /// Drops what is left, a few rows at a time.
    fn clean(&mut self, group: usize) {
        loop {
            let rows = self.groups[group].state.read().leftovers().unwrap();
            if rows.is_empty() {
                break;
            }
            assert_eq!(self.propose(group, MoveCommand::DropRows { rows }), Outcome::Applied);
        }
        let slots = vec![(slot(), slot())];
        let moves = self.last_moves(group);
        assert_eq!(self.propose(group, MoveCommand::ForgetSlots { slots, moves }), Outcome::Applied);
    }

    /// What must hold after every step.
    fn check(&self) -> Checked {
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

fn shared_engine() -> Arc<dyn Engine> {
    static ENGINE: OnceLock<(tempfile::TempDir, Arc<dyn Engine>)> = OnceLock::new();
    let (_, engine) = ENGINE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let engine = engine(dir.path());
        (dir, engine)
    });
    Arc::clone(engine)
}

fn run(steps: &[Step], flaw: Flaw) -> Result<u32, String> {
    let mut world = World::new(&shared_engine(), flaw);
    for step in steps {
        world.step(step)?;
    }
    Ok(world.moves)
}

/// The same runs every time: how many succeed, how many fail, and how many moves there were.
fn sample(flaw: Flaw, runs: u32) -> (u32, u32, u32) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut good, mut bad, mut moves) = (0, 0, 0);
    for _ in 0..runs {
        let steps = prop::collection::vec(step(), 20..120).new_tree(&mut runner).unwrap().current();
        match run(&steps, flaw) {
            Ok(done) => (good, moves) = (good + 1, moves + done),
            Err(_) => bad += 1,
        }
    }
    (good, bad, moves)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn invariant_a_moved_slot_loses_nothing_and_applies_nothing_twice(steps in prop::collection::vec(step(), 20..120)) {
        let result = run(&steps, Flaw::None);
        prop_assert!(result.is_ok(), "{:?}", result);
    }
}

#[test]
fn the_model_sees_command_ids_left_behind_early_activation_and_changes_left_behind() {
    let (good, bad, moves) = sample(Flaw::None, 40);
    assert!(bad == 0 && moves > 20, "{good} runs succeeded, {bad} failed, {moves} moves");
    for flaw in [Flaw::NoDedup, Flaw::EarlyFence, Flaw::NoFeed] {
        let (good, bad, _) = sample(flaw, 40);
        println!("{flaw:?}: {bad} of {} runs are wrong", good + bad);
        assert!(bad > 0, "{flaw:?} was not noticed");
    }
}

#[test]
fn rows_that_come_twice_or_early_are_refused_and_change_nothing() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    for _ in 0..4 {
        world.drive(2).unwrap();
    }
    let target = 1 - world.source;
    let before = rows(&mut world.groups[target]);
    let imports: Vec<_> = world.proposed.iter().filter(|(group, _)| *group == target).cloned().collect();
    assert!(imports.len() >= 3);
    let (_, again) = imports.last().unwrap();
    assert_eq!(world.groups[target].apply(again), Outcome::Conflict);
    let fence = Fence { frozen: 1 << 40, min_policy: PolicyEpoch(0), slots: vec![] };
    let early = Command::Move(MoveCommand::Activate { since: world.since, fence });
    assert_eq!(world.groups[target].apply(&early), Outcome::Conflict);
    assert_eq!(rows(&mut world.groups[target]), before);
}

#[test]
fn a_target_that_lacks_a_record_does_not_activate() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    for id in 1..4 {
        world.step(&Step::Write { id, name: id, delete: false }).unwrap();
    }
    let since = world.since;
    while world.outgoing().is_none_or(|row| !matches!(row.phase, OutgoingPhase::Frozen { .. })) {
        world.drive(100).unwrap();
    }
    let mut fence = None;
    while fence.is_none() {
        let Some(IncomingPhase::Importing { position }) = world.incoming().map(|row| row.phase) else {
            panic!()
        };
        let outgoing = world.outgoing().unwrap();
        let pulled = world.groups[0].state.read().pull(&outgoing, &position, 100).unwrap();
        if pulled.to == position {
            fence = world.groups[0].state.read().fence(since).unwrap();
        } else {
            world.import(position, 100).unwrap();
        }
    }
    let fence = fence.unwrap();
    let with = |change: &dyn Fn(&mut FencedSlot)| {
        let mut fence = fence.clone();
        change(&mut fence.slots[0]);
        Command::Move(MoveCommand::Activate { since, fence })
    };
    let differ = [
        with(&|slot| slot.digest[31] ^= 1),
        with(&|slot| slot.records += 1),
        with(&|slot| slot.partitions += 1),
        with(&|slot| slot.high_water = 0),
    ];
    for command in differ {
        assert_eq!(world.groups[1].apply(&command), Outcome::Differs);
    }
    assert_eq!(world.groups[1].apply(&with(&|_| {})), Outcome::Applied);
    // Decided: it cannot be given up any more, and whoever asks again is told the same.
    let from = world.groups[0].state.keys().group();
    assert_eq!(
        world.groups[1].apply(&Command::Move(MoveCommand::AbortImport { since, from })),
        Outcome::Conflict
    );
    assert_eq!(world.groups[1].apply(&with(&|_| {})), Outcome::Applied);
    let moved = world.slot_row(1).unwrap();
    assert_eq!((moved.epoch, moved.status), (SlotEpoch(2), SlotStatus::Active));
}

/// A second slot in a range of its own, with keys and a row under each name.
fn fill(replica: &mut Replica, of: Slot, names: u8) {
    let keyring = SlotKeyring::generate().unwrap();
    let row = replica.state.keys().seal_slot(of, &keyring).unwrap();
    let (epoch, under) = (SlotEpoch::FIRST, fingerprint(&row.encode().unwrap()));
    let (generation, sealed) = (row.generation, row.sealed);
    let commands = [
        Command::ActivateSlots { ranges: vec![(of, of)], epoch },
        Command::PutSlotKeyring { slot: of, epoch, previous: None, generation, sealed },
        Command::PutPartitionKeyring {
            slot: of,
            epoch,
            partition: PARTITION,
            under,
            previous: None,
            min_generation: KeyGeneration(1),
            sealed: vec![1; 64].into(),
        },
    ];
    commands.iter().for_each(|command| assert_eq!(replica.apply(command), Outcome::Applied));
    for name in 0..names {
        let key = key_in(of, PARTITION, name);
        let ops = vec![Op::Put { key, value: value(u64::from(name) + 1, 1, name) }];
        let id = CommandId::new([100 + name; 16]);
        let batch = Command::Batch(Batch { id, slot: of, ..batch(name, vec![], ops) });
        assert_eq!(replica.apply(&batch), Outcome::Applied);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_row_of_every_range_is_pulled_once_however_small_the_pieces(most in 1usize..5, names in 1u8..7) {
        let mut source = Replica::fresh(&shared_engine());
        let slots = [1, 3, 9].map(|number| Slot::try_from(number).unwrap());
        slots.iter().for_each(|of| fill(&mut source, *of, names));
        // One between them that stays.
        fill(&mut source, Slot::try_from(5).unwrap(), names);
        let begin = MoveCommand::BeginMove {
            since: MapEpoch(1),
            to: GroupId(99),
            slots: slots.map(|of| (of, of)).to_vec(),
            lineage: Lineage(0),
            transfer_key: [3; 32],
        };
        prop_assert_eq!(source.apply(&Command::Move(begin)), Outcome::Applied);
        let reader = source.state.read();
        let outgoing = reader.outgoing().unwrap().unwrap();
        let (mut position, mut pulled) = (Position::start(), Vec::new());
        while matches!(position, Position::Rows { .. }) {
            let piece = reader.pull(&outgoing, &position, most).unwrap();
            prop_assert!(piece.to != position, "no progress at {:?}", position);
            pulled.extend(piece.rows.into_iter().map(|row| (row.table, row.key)));
            position = piece.to;
        }
        let mut expected = Vec::new();
        for table in TRAVEL {
            let rows = reader.scan(table, &KeyRange::all(), ScanLimit::MAX).unwrap().rows;
            let moves = |key: &[u8]| slots.contains(&slot_of(key).unwrap());
            expected.extend(rows.into_iter().filter(|row| moves(&row.key)).map(|row| (table.number(), Blob(row.key))));
        }
        prop_assert_eq!(pulled, expected);
    }
}

#[test]
fn what_was_seen_before_a_slot_went_does_not_forget_its_rows() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    let give_up = |world: &mut World| {
        while world.outgoing().is_none() {
            world.drive(100).unwrap();
        }
        // Some rows come.
        world.drive(100).unwrap();
        world.give_up = true;
        world.drive(100).unwrap();
    };
    give_up(&mut world);
    world.drive(100).unwrap();
    let is_forget = |of: &&(usize, Command)| matches!(of.1, Command::Move(MoveCommand::ForgetSlots { .. }));
    let (group, late) = world.proposed.iter().rfind(is_forget).cloned().unwrap();
    give_up(&mut world);
    assert_eq!(world.slot_row(group).unwrap().status, SlotStatus::Gone);
    assert_eq!(world.groups[group].apply(&late), Outcome::Conflict);
    assert_eq!(world.slot_row(group).unwrap().status, SlotStatus::Gone);
}

#[test]
fn a_slot_that_left_is_never_taken_for_a_new_one() {
    let mut world = World::new(&shared_engine(), Flaw::None);
    world.step(&Step::Write { id: 1, name: 1, delete: false }).unwrap();
    while world.moves == 0 {
        world.drive(100).unwrap();
    }
    let again = Command::ActivateSlots { ranges: vec![(slot(), slot())], epoch: SlotEpoch::FIRST };
    assert_eq!(world.groups[0].apply(&again), Outcome::Applied);
    assert_eq!(world.slot_row(0).unwrap().status, SlotStatus::Left);
    let late = Command::Batch(batch(2, vec![], vec![put(1, 99, 1)]));
    assert_eq!(world.groups[0].apply(&late), Outcome::WrongSlot);
}

/// One of each, for the test of frozen bytes.
pub(super) fn frozen() -> impl Iterator<Item = MoveCommand> {
    let (since, from, to) = (MapEpoch(300), GroupId(1), GroupId(2));
    let slots = vec![(slot(), Slot::try_from(300).unwrap())];
    let (generation, sealed): (_, Blob) = (KeyGeneration(2), vec![1, 2].into());
    let hash = Sha256Hash::new([4; 32]);
    let fenced = FencedSlot {
        slot: slot(),
        epoch: SlotEpoch(1),
        high_water: 300,
        digest: [5; 32],
        records: 6,
        partitions: 7,
    };
    let row = |value| MovedRow { table: 6, key: vec![1].into(), value };
    let partition = partition_key(slot(), PartitionToken([8; 16]))[2..].try_into().unwrap();
    [
        MoveCommand::BeginMove {
            since,
            to,
            slots: slots.clone(),
            lineage: Lineage(0),
            transfer_key: [3; 32],
        },
        MoveCommand::FreezeSlots { since },
        MoveCommand::UnfreezeSlots { since },
        MoveCommand::PartWithSlots { since },
        MoveCommand::DropRows { rows: vec![(6, vec![1].into())] },
        MoveCommand::ForgetSlots { slots: slots.clone(), moves: [Some((since, true)), None] },
        MoveCommand::PutTransferKey {
            since,
            from,
            slots,
            generation,
            sealed: sealed.clone(),
            public: [3; 32],
        },
        MoveCommand::BeginImport { since },
        MoveCommand::ImportRows {
            since,
            from: Position::Rows { step: 1, from: vec![1].into() },
            to: Position::Feed { next: 300, skip: 2 },
            rows: vec![row(None), row(Some(vec![2].into()))],
        },
        MoveCommand::Activate {
            since,
            fence: Fence { frozen: 300, min_policy: PolicyEpoch(3), slots: vec![fenced] },
        },
        MoveCommand::AbortImport { since, from },
        MoveCommand::RekeySlot {
            slot: slot(),
            epoch: SlotEpoch(2),
            previous: hash,
            generation,
            sealed: sealed.clone(),
            partitions: vec![Rekeyed { partition, previous: hash, sealed }],
        },
    ]
    .into_iter()
}
