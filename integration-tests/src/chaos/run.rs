//! One scenario after the other.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{
    Plan, Stage,
    scenarios::{ALL, Scenario},
};

/// How a run goes.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// Where its cluster lives.
    pub folder: &'a Path,
    /// How large it is.
    pub plan: Plan,
    /// All its choices.
    pub seed: u64,
    /// When it is over.
    pub until: Until,
    /// Only these scenarios, if any are named.
    pub only: &'a [String],
}

/// When a run is over.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Each scenario once, in their order.
    EachOnce,
    /// Drawn scenarios, until so much time is over.
    Time(Duration),
}

/// Runs, judges, and says what was seen.
///
/// # Errors
/// The scenario that failed, with what to type to see it again.
pub fn run(run: &Run<'_>) -> anyhow::Result<()> {
    let again = again(run);
    println!("seed {}; the same again: {again}", run.seed);
    go(run).with_context(|| format!("seed {}; the same again: {again}", run.seed))
}

fn again(run: &Run<'_>) -> String {
    let minutes = match run.until {
        Until::EachOnce => return format!("HOLDFAST_SEED={} cargo test --test chaos", run.seed),
        Until::Time(time) => time.as_secs().div_ceil(60),
    };
    let only = if run.only.is_empty() { String::new() } else { format!(" ONLY=\"{}\"", run.only.join(" ")) };
    format!("make chaos MINUTES={minutes} SEED={}{only}", run.seed)
}

fn go(run: &Run<'_>) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut stage = Stage::build(run.folder, run.plan, run.seed).context("building the cluster")?;
    let wanted =
        |scenario: &&Scenario| run.only.is_empty() || run.only.iter().any(|name| name == scenario.name);
    let chosen: Vec<&Scenario> =
        ALL.iter().filter(wanted).filter(|scenario| stage.has_network || !scenario.needs_network).collect();
    let mut done = 0;
    loop {
        let next = match run.until {
            Until::EachOnce => chosen.get(done),
            Until::Time(time) if began.elapsed() < time => chosen.get(stage.draw.index(chosen.len())),
            Until::Time(_) => None,
        };
        let Some(scenario) = next else { break };
        done += 1;
        stage.plan.registry_away = longest_outage(run, chosen.len(), began.elapsed());
        play(&mut stage, scenario, done).with_context(|| {
            let tail =
                stage.cluster.suspect().map_or(String::new(), |(log, tail)| format!("\n{log}:\n{tail}"));
            format!("scenario {done}, {}{tail}", scenario.name)
        })?;
    }
    let counts = stage.judge()?;
    println!(
        "{done} scenarios in {} s: {} calls answered, {} given up, all explained",
        began.elapsed().as_secs(),
        counts.answered,
        counts.lost
    );
    Ok(())
}

/// The longest outage takes what the run has time for: a part, when other scenarios are to have their turn.
fn longest_outage(run: &Run<'_>, scenarios: usize, elapsed: Duration) -> Duration {
    let wanted = run.plan.registry_away;
    match run.until {
        Until::EachOnce => wanted,
        Until::Time(time) if scenarios > 1 => wanted.min(time / 3),
        Until::Time(time) => wanted.min(time.saturating_sub(elapsed)),
    }
}

fn play(stage: &mut Stage, scenario: &Scenario, number: usize) -> anyhow::Result<()> {
    stage.say(&format!("{number}. {}: {}", scenario.name, scenario.what));
    let (began, before) = (Instant::now(), stage.counts());
    (scenario.play)(stage)?;
    stage.wait_healthy().context("afterwards")?;
    stage.compare_digests(scenario.damages).context("afterwards")?;
    let after = stage.counts();
    let (answered, lost) = (after.answered - before.answered, after.lost - before.lost);
    stage.say(&format!(
        "whole and equal after {} s; {answered} calls answered, {lost} given up",
        began.elapsed().as_secs()
    ));
    if scenario.loses_no_call && lost > 0 {
        anyhow::bail!("{lost} calls failed, and none should have");
    }
    Ok(())
}
