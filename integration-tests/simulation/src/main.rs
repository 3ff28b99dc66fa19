//! Runs seeds; a failing one prints the command that runs it again.

#![allow(clippy::print_stdout, reason = "it talks to whoever runs it")]

use std::time::Instant;

use clap::Parser;
use holdfast_simulation::{Rules, run};

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

fn main() -> anyhow::Result<()> {
    let Arguments { seeds, first, mistake } = Arguments::parse();
    let rules = match &mistake {
        None => Rules::SOUND,
        Some(name) => {
            let known = Rules::MISTAKES.into_iter().find(|(known, _)| known == name);
            known.ok_or_else(|| anyhow::anyhow!("no mistake of this name"))?.1
        }
    };
    let began = Instant::now();
    let (mut acknowledged, mut events, mut epochs, mut halved) = (0, 0, 0, 0);
    for seed in first..first.saturating_add(seeds) {
        match run(seed, rules) {
            Ok(report) => {
                acknowledged += report.acknowledged;
                events += report.events;
                epochs += report.epochs;
                halved += u64::from(report.halved);
            }
            Err(failure) => {
                let mistake = mistake.map_or_else(String::new, |name| format!(" --mistake {name}"));
                anyhow::bail!("{failure}\nagain: holdfast-simulation --first {seed} --seeds 1{mistake}");
            }
        }
    }
    println!(
        "{seeds} seeds, {events} events, {epochs} maps, {acknowledged} acknowledged writes in {:.1} s: nothing found; \
         {halved} ended with a group that lost a disk in the moment of a change of members",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
