//! A leader is killed: how long until somebody can write again.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{BEFORE, WRITERS, percentile, pulse::Writing};
use crate::{
    cluster::Running,
    figure::{Aim, Figure},
    measure::ms,
};

/// Leaders that are killed.
const ROUNDS: usize = 10;
/// By then somebody leads.
const AFTER: Duration = Duration::from_secs(6);
/// For heartbeats to tell the registry who leads.
const NEWS: Duration = Duration::from_secs(4);
/// What we want of nearly all.
const AIM_MS: f64 = 3000.0;

pub(super) fn measure(running: &mut Running) -> anyhow::Result<Vec<Figure>> {
    let runtime = running.runtime.handle().clone();
    let mut pauses = Vec::new();
    for _ in 0..ROUNDS {
        sleep(NEWS);
        let leader = running.cluster.leader_of(running.group()?)?;
        let writing =
            Writing::start(&runtime, running.accounts(WRITERS)?.get(..WRITERS).context("clients")?)?;
        sleep(BEFORE);
        let killed = Instant::now();
        running.cluster.node(leader)?.kill()?;
        sleep(AFTER);
        let writes = writing.finish(&runtime)?.concat();
        // One that began before may have been acknowledged by the leader.
        let next = writes.iter().filter(|(begin, _)| *begin > killed).map(|(_, end)| *end).min();
        pauses.push(ms(next.context("nothing was written after a leader was killed")? - killed));
        running.cluster.node(leader)?.start_and_wait()?;
        running.cluster.wait_groups_ready()?;
    }
    let name = "leader killed until a write is acknowledged that began after that";
    Ok(vec![
        Figure::new(format!("{name}: p50"), "ms", percentile(&mut pauses, 50)),
        Figure::new(format!("{name}: longest of {ROUNDS}"), "ms", percentile(&mut pauses, 100))
            .aiming(Aim::AtMost(AIM_MS)),
    ])
}
