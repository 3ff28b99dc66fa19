//! Replicas move to other nodes under load: how long the slowest write of each client waits, and how fast content gets there.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_client::files::FileName;

use super::{
    BEFORE, PAUSE_MS, WRITERS, percentile,
    pulse::{Writing, longest},
};
use crate::{
    cluster::Running,
    figure::{Aim, Figure},
    measure::{float, median},
};

/// Replicas that move, of each kind.
const ROUNDS: usize = 4;
/// What the group holds.
const FILES: usize = 4;
const FILE_BYTES: usize = 32 << 20;
/// For heartbeats to tell the registry who leads.
const NEWS: Duration = Duration::from_secs(4);

/// Which replica moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Follower,
    Leader,
}

pub(super) fn measure(running: &mut Running, folder: &Path) -> anyhow::Result<Vec<Figure>> {
    fill(running, &folder.join("content"))?;
    let (mut followers, speeds) = rounds(running, Which::Follower)?;
    let (mut leaders, _) = rounds(running, Which::Leader)?;
    let name = format!("slowest write of each of {WRITERS} clients");
    Ok(vec![
        Figure::new("a replica made anew elsewhere under load, whole move", "MB/s", median(speeds)),
        Figure::new(format!("a follower moves: {name}, p99"), "ms", percentile(&mut followers, 99))
            .aiming(Aim::AtMost(PAUSE_MS)),
        Figure::new(format!("a leader moves: {name}, p50"), "ms", percentile(&mut leaders, 50)),
        Figure::new(format!("a leader moves: {name}, p99"), "ms", percentile(&mut leaders, 99))
            .aiming(Aim::AtMost(PAUSE_MS)),
    ])
}

/// Some content, so that a new replica has something to fetch.
fn fill(running: &mut Running, content: &Path) -> anyhow::Result<()> {
    let runtime = running.runtime.handle().clone();
    fs::write(content, vec![7; FILE_BYTES]).context("a large file")?;
    let account = running.accounts(1)?.first().context("no client")?;
    for number in 0..FILES {
        let name = FileName::new(format!("large-{number}").into_bytes()).context("a name")?;
        runtime.block_on(account.client.files().put(&name, content, &|_| {})).context("a large file")?;
    }
    Ok(())
}

/// The slowest write of each client in each move, and the speed of each move.
fn rounds(running: &mut Running, which: Which) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
    let runtime = running.runtime.handle().clone();
    let bytes = float(u64::try_from(FILES * FILE_BYTES)?);
    let (mut pauses, mut speeds) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        sleep(NEWS);
        let group = running.group()?;
        let (from, to) = running.move_of(group, which)?;
        let writing =
            Writing::start(&runtime, running.accounts(WRITERS)?.get(..WRITERS).context("clients")?)?;
        sleep(BEFORE);
        let begin = Instant::now();
        running.cluster.move_replica(group, from, to)?;
        let took = begin.elapsed();
        sleep(BEFORE);
        let writes = writing.finish(&runtime)?;
        pauses.extend(writes.iter().map(|writes| longest(writes, begin, Instant::now())));
        speeds.push(bytes / 1e6 / took.as_secs_f64());
    }
    Ok((pauses, speeds))
}

impl Running {
    /// Places of a node with such a replica, and of a node without one.
    fn move_of(&self, group: u32, which: Which) -> anyhow::Result<(usize, usize)> {
        let leader = self.cluster.leader_of(group)?;
        let rows = self.cluster.replicas()?;
        let row = rows.iter().find(|row| row.group == group).context("no such group")?;
        let (mut from, mut to) = (None, None);
        for place in 0..self.cluster.nodes.len() {
            let id = self.cluster.id_at(place)?;
            if !row.replicas.iter().any(|replica| replica.node_id == id) {
                to = Some(place);
            } else if (place == leader) == (which == Which::Leader) {
                from = Some(place);
            }
        }
        from.zip(to).context("no replica can move")
    }
}
