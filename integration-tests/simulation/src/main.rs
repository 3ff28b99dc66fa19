//! Runs seeds on all processors; a failing one prints the command that runs it again.

#![allow(clippy::print_stdout, reason = "it talks to whoever runs it")]

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::Context as _;
use clap::Parser;
use holdfast_simulation::{Failure, Report, Rules, run};

/// Simulates shard map, placement and the life of shards.
#[derive(Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// A mistake to put back, by name.
    #[arg(long)]
    mistake: Option<String>,
}

/// What came of all runs so far.
#[derive(Default)]
struct Found {
    runs: u64,
    acknowledged: u64,
    events: u64,
    epochs: u64,
    halved: u64,
    /// The first seeds that failed, one of each thread at most.
    failures: Vec<Failure>,
}

impl Found {
    fn add(&mut self, report: Report) {
        let Report { events, acknowledged, epochs, halved, trace: _ } = report;
        self.runs += 1;
        self.acknowledged += acknowledged;
        self.events += events;
        self.epochs += epochs;
        self.halved += u64::from(halved);
    }
}

fn main() -> anyhow::Result<()> {
    let Arguments { seeds, first, mistake } = Arguments::parse();
    let rules = match &mistake {
        None => Rules::SOUND,
        Some(name) => rules(name)?,
    };
    let began = Instant::now();
    let mut found = search(first, first.saturating_add(seeds), rules);
    found.failures.sort_by_key(|failure| failure.seed);
    if let Some(failure) = found.failures.first() {
        let mistake = mistake.map_or_else(String::new, |name| format!(" MISTAKE={name}"));
        let runs = found.runs;
        anyhow::bail!(
            "{failure}\n(after {runs} runs) again: make simulate SEEDS=1 FIRST={}{mistake}",
            failure.seed
        );
    }
    let Found { runs, acknowledged, events, epochs, halved, failures: _ } = found;
    let seconds = began.elapsed().as_secs_f64();
    let a_minute = (runs * 60_000).checked_div(u64::try_from(began.elapsed().as_millis())?).unwrap_or(runs);
    println!(
        "{runs} seeds, {events} events, {epochs} maps, {acknowledged} acknowledged writes in {seconds:.1} s, {a_minute} seeds a \
         minute: nothing found; {halved} ended with a group that lost a disk in the moment of a change of members"
    );
    Ok(())
}

fn rules(mistake: &str) -> anyhow::Result<Rules> {
    let names: Vec<_> = Rules::MISTAKES.iter().map(|(name, _)| *name).collect();
    let known = Rules::MISTAKES.into_iter().find(|(name, _)| *name == mistake);
    Ok(known.with_context(|| format!("{mistake} is no mistake: there are {}", names.join(", ")))?.1)
}

/// Runs all seeds, until one fails.
fn search(first: u64, end: u64, rules: Rules) -> Found {
    let (next, found) = (AtomicU64::new(first), Mutex::new(Found::default()));
    let one = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                return;
            }
            let done = run(seed, rules);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            match done {
                Ok(report) => found.add(report),
                Err(failure) => {
                    found.failures.push(failure);
                    // The others end what they have begun.
                    next.store(end, Ordering::Relaxed);
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, Into::into);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(one))));
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
