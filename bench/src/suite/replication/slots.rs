//! Half of a group's slots move to a new group and back under load: how long the slowest write of each client waits whose slot moves.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_domain::{ClusterId, Slot};
use holdfast_integration_tests::wait;

use super::{
    BEFORE, PAUSE_MS, WRITERS, percentile,
    pulse::{Writing, longest},
};
use crate::{
    cluster::Running,
    figure::{Aim, Figure},
};

/// Splits, each with its merge.
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn measure(running: &mut Running) -> anyhow::Result<Vec<Figure>> {
    let runtime = running.runtime.handle().clone();
    let (mut pauses, mut others, mut quiet) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let group = running.group()?;
        let writing =
            Writing::start(&runtime, running.accounts(WRITERS)?.get(..WRITERS).context("clients")?)?;
        sleep(BEFORE);
        let begin = Instant::now();
        let to = running.cluster.split(group)?;
        let moving = moving_slots(running)?;
        running
            .cluster
            .wait_slots("a split", |groups| groups.iter().any(|row| row.group == to && row.slots > 0))?;
        sleep(BEFORE / 2);
        let turn = Instant::now();
        running.cluster.merge(to, group)?;
        running.cluster.wait_slots("a merge", |groups| {
            groups.iter().any(|row| row.group == group && row.slots == u32::from(Slot::COUNT))
        })?;
        sleep(BEFORE / 2);
        let end = Instant::now();
        let span = (end - begin) / 2;
        sleep(span);
        let cluster = running.cluster.founded()?.cluster.parse::<ClusterId>().context("the cluster")?;
        let writes = writing.finish(&runtime)?;
        for (account, writes) in running.accounts(WRITERS)?.iter().zip(&writes) {
            let slot = Slot::of_home(cluster, account.home).number();
            let moved = moving.iter().any(|(first, last)| (*first..=*last).contains(&slot.into()));
            let waits = [longest(writes, begin, turn), longest(writes, turn, end)];
            (if moved { &mut pauses } else { &mut others }).extend(waits);
            quiet.push(longest(writes, end, end + span));
        }
    }
    anyhow::ensure!(!pauses.is_empty(), "no client's slot moved");
    let calm = percentile(&mut quiet, 99);
    let name = format!("slots move under load: slowest write of each of {} clients", pauses.len());
    Ok(vec![
        Figure::new(format!("{name}, p50"), "ms", percentile(&mut pauses, 50))
            .against(percentile(&mut quiet, 50), "as long a time without a move"),
        Figure::new(format!("{name}, p99"), "ms", percentile(&mut pauses, 99))
            .against(calm, "as long a time without a move")
            .aiming(Aim::AtMost(PAUSE_MS)),
        Figure::new("the same of clients whose slots stay, p99", "ms", percentile(&mut others, 99))
            .against(calm, "as long a time without a move"),
    ])
}

/// The slots that are on the move.
fn moving_slots(running: &Running) -> anyhow::Result<Vec<(u32, u32)>> {
    wait::until(PATIENCE, "a move", || {
        let moves = running.cluster.slots()?.slot_moves;
        let ranges =
            moves.first().map(|row| row.slots.iter().map(|range| (range.first, range.last)).collect());
        Ok(ranges)
    })
}
