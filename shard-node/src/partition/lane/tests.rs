//! Counters under random interleavings, against the sequential machine that has the last word.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use holdfast_domain::{PolicyEpoch, Slot, UnixMs};
use proptest::prelude::*;

use super::*;
use crate::machine::SlotEpoch;

/// What the log does to the rows: each is a counter, with the version of its last change.
#[derive(Default)]
struct Machine {
    rows: BTreeMap<u8, (u64, u64)>,
    high_water: u64,
}

/// A command in the log, with what it was decided on.
struct Logged {
    name: u8,
    seen: Option<(u64, u64)>,
    row: (u64, u64),
    flight: Option<Flight>,
}

impl Machine {
    fn apply(&mut self, logged: &Logged) -> bool {
        let holds = self.rows.get(&logged.name) == logged.seen.as_ref();
        let applied = holds && logged.row.1 > self.high_water;
        if applied {
            self.rows.insert(logged.name, logged.row);
            self.high_water = logged.row.1;
        }
        applied
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Adds one to a counter.
    Decide(u8),
    /// The oldest command is applied and answered.
    Apply,
    /// Whoever waits for a command gives up; it stays in the log.
    GiveUp(usize),
    /// Another lead: of what is in the log, so many commands survive.
    Elect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..3).prop_map(Step::Decide),
        5 => Just(Step::Apply),
        1 => (0usize..8).prop_map(Step::GiveUp),
        1 => (0usize..8).prop_map(Step::Elect),
    ];
    prop::collection::vec(step, 0..120)
}

struct World {
    lane: Arc<Lane>,
    machine: Machine,
    log: VecDeque<Logged>,
    term: u64,
    ids: u64,
    drawn: BTreeSet<(u64, u64)>,
    added: BTreeMap<u8, u64>,
    refused: usize,
    lost: usize,
}

impl World {
    fn new() -> Self {
        Self {
            lane: Arc::default(),
            machine: Machine::default(),
            log: VecDeque::new(),
            term: 1,
            ids: 0,
            drawn: BTreeSet::new(),
            added: BTreeMap::new(),
            refused: 0,
            lost: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Decide(name) => self.decide(*name),
            Step::Apply => self.apply(),
            Step::GiveUp(which) => {
                self.lost += 1;
                drop(self.log.get_mut(*which).and_then(|logged| logged.flight.take()));
            }
            Step::Elect(survive) => {
                self.lost += 1;
                self.term += 1;
                self.log.truncate(*survive);
                // Its own entry comes last: before it decides, a leader has applied everything.
                while !self.log.is_empty() {
                    self.apply();
                }
            }
        }
    }

    fn decide(&mut self, name: u8) {
        let mut ahead = self.lane.ahead(self.term);
        let seen = match ahead.row(&[name]) {
            Some(row) => row.map(|row| decoded(&row)),
            None => self.machine.rows.get(&name).copied(),
        };
        let version = ahead.high_water().max(self.machine.high_water) + 1;
        assert!(self.drawn.insert((self.term, version)), "version {version} was drawn twice");
        let row = (seen.map_or(0, |(count, _)| count) + 1, version);
        self.ids += 1;
        let flight = ahead.add(&self.lane, &batch(self.ids, name, row), version);
        self.log.push_back(Logged { name, seen, row, flight: Some(flight) });
    }

    fn apply(&mut self) {
        let Some(logged) = self.log.pop_front() else { return };
        if self.machine.apply(&logged) {
            *self.added.entry(logged.name).or_default() += 1;
            if let Some(flight) = logged.flight {
                flight.applied();
            }
        } else {
            self.refused += 1;
        }
    }

    fn check(&self) {
        let counts: BTreeMap<u8, u64> =
            self.machine.rows.iter().map(|(name, (count, _))| (*name, *count)).collect();
        assert_eq!(counts, self.added, "each addition that was applied counts once");
        let ahead = self.lane.ahead(self.term);
        assert!(ahead.rows.is_empty() && ahead.commands.is_empty(), "nothing is on its way");
        assert!(self.lost > 0 || self.refused == 0, "nobody was in the way");
    }
}

fn batch(id: u64, name: u8, (count, version): (u64, u64)) -> Batch {
    let [id, value] = [[id, id], [count, version]].map(|pair| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&pair[0].to_be_bytes());
        bytes[8..].copy_from_slice(&pair[1].to_be_bytes());
        bytes
    });
    Batch {
        id: CommandId::new(id),
        at: UnixMs(1),
        slot: Slot::try_from(1).unwrap(),
        slot_epoch: SlotEpoch::FIRST,
        partition: [0; 16],
        policy_epoch: PolicyEpoch(0),
        preconditions: Vec::new(),
        ops: vec![Op::Put { key: vec![name].into(), value: value.to_vec().into() }],
    }
}

fn decoded(bytes: &[u8]) -> (u64, u64) {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    (number(&bytes[..8]), number(&bytes[8..]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn invariant_decisions_on_what_is_on_its_way_lose_and_repeat_nothing(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        while !world.log.is_empty() {
            world.apply();
        }
        world.check();
    }
}

#[tokio::test]
async fn a_second_try_waits_for_the_end_of_the_first() {
    let lane = Arc::new(Lane::default());
    let flight = {
        let mut ahead = lane.ahead(1);
        assert!(ahead.same(CommandId::new([0; 16])).is_none());
        ahead.add(&lane, &batch(0, 1, (1, 1)), 1)
    };
    let mut ended = lane.ahead(1).same(CommandId::new([0; 16])).unwrap();
    assert!(ended.try_recv().is_err() && lane.ahead(1).row(&[1]).is_some());
    flight.applied();
    assert!(ended.await.is_err(), "it ended");
    assert!(lane.ahead(1).row(&[1]).is_none());
}

#[tokio::test]
async fn who_wants_the_slot_alone_waits_for_all_others() {
    let lane = Lane::default();
    let among = (lane.among().await, lane.among().await);
    assert!(futures::FutureExt::now_or_never(lane.alone()).is_none());
    drop(among);
    let alone = lane.alone().await;
    assert!(futures::FutureExt::now_or_never(lane.among()).is_none());
    drop(alone);
    drop(lane.among().await);
}
