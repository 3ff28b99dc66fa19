//! The machine against a model, and replicas against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use holdfast_store::Engine;
use proptest::prelude::*;

use super::support::*;
use crate::machine::{Command, Op, Outcome, Pre, Table};

/// What a slot with one partition means.
#[derive(Default)]
struct Model {
    rows: BTreeMap<u8, (u64, u8)>,
    seen: BTreeSet<u8>,
    high_water: u64,
}

/// One batch, as small numbers.
#[derive(Debug, Clone)]
struct Step {
    id: u8,
    pre: Vec<(u8, Option<(u64, u8)>)>,
    ops: Vec<(u8, Option<(u64, u8)>)>,
}

impl Step {
    fn command(&self) -> Command {
        let pre = |(name, row): &(u8, Option<(u64, u8)>)| match row {
            Some((version, fill)) => is(*name, *version, *fill),
            None => Pre::Absent { key: key(*name) },
        };
        let op = |(name, row): &(u8, Option<(u64, u8)>)| match row {
            Some((version, fill)) => put(*name, *version, *fill),
            None => Op::Delete { key: key(*name) },
        };
        Command::Batch(batch(self.id, self.pre.iter().map(pre).collect(), self.ops.iter().map(op).collect()))
    }
}

impl Model {
    fn apply(&mut self, step: &Step) -> Outcome {
        if self.seen.contains(&step.id) {
            return Outcome::Duplicate;
        }
        let holds = step.pre.iter().all(|(name, row)| self.rows.get(name) == row.as_ref());
        let versions = step.ops.iter().filter_map(|(_, row)| row.map(|(version, _)| version));
        if !holds || versions.clone().any(|version| version <= self.high_water) {
            return Outcome::Conflict;
        }
        self.seen.insert(step.id);
        self.high_water = versions.max().unwrap_or(0).max(self.high_water);
        for (name, row) in &step.ops {
            match row {
                Some(row) => self.rows.insert(*name, *row),
                None => self.rows.remove(name),
            };
        }
        Outcome::Applied
    }
}

fn row() -> impl Strategy<Value = Option<(u64, u8)>> {
    prop::option::weighted(0.7, (1u64..12, 0u8..2))
}

fn step() -> impl Strategy<Value = Step> {
    let rows = |most| prop::collection::vec((0u8..3, row()), 0..=most);
    (any::<u8>(), rows(1), rows(3)).prop_map(|(id, pre, ops)| Step { id: id % 24, pre, ops })
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn invariant_the_machine_does_what_the_model_does(steps in prop::collection::vec(step(), 1..30)) {
        let (mut replica, mut model) = (Replica::ready(&shared_engine()), Model::default());
        for step in &steps {
            prop_assert_eq!(replica.apply(&step.command()), model.apply(step), "{:?}", step);
        }
        for name in 0u8..3 {
            let stored = replica.state.read().get_raw(Table::Records, &key(name).0).unwrap();
            let expected = model.rows.get(&name).map(|(version, fill)| value(*version, 1, *fill).0);
            prop_assert_eq!(stored, expected);
        }
        let stats = replica.state.stats().unwrap();
        prop_assert_eq!(stats.records, u64::try_from(model.rows.len()).unwrap());
        prop_assert!(replica.state.verify_digests().unwrap().is_empty());
    }

    #[test]
    fn invariant_replicas_agree_however_the_log_is_cut_and_replayed(
        steps in prop::collection::vec(step(), 1..30),
        cuts in prop::collection::vec(1usize..8, 1..8),
        replay in 0usize..30,
    ) {
        let commands: Vec<_> = steps.iter().map(Step::command).collect();
        let (mut one, mut other) = (Replica::ready(&shared_engine()), Replica::ready(&shared_engine()));
        let outcomes: Vec<_> = commands.iter().map(|command| one.apply(command)).collect();
        let (mut rest, mut cuts) = (commands.as_slice(), cuts.iter().cycle());
        let mut together = Vec::new();
        while !rest.is_empty() {
            let (some, left) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            together.extend(other.apply_all(some));
            rest = left;
        }
        prop_assert_eq!(outcomes, together);
        // A crash after a write that did not carry the log position: the tail comes again.
        let again = replay.min(commands.len());
        other.index -= u64::try_from(again).unwrap();
        other.apply_all(&commands[commands.len() - again..]);
        prop_assert_eq!(rows(&mut one), rows(&mut other));
    }
}
