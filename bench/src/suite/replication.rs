//! What clients see of a group's changes: a leader that is killed, replicas and slots that move, and more nodes than the machine has cores.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use holdfast_client::files::FileName;
use holdfast_integration_tests::wait;
use tokio::{runtime::Handle, task::JoinHandle};

use super::{Setting, writes};
use crate::{
    cluster::{Account, Running},
    figure::{Aim, Figure},
    measure::{float, ms},
    output,
};

/// Leaders that are killed, replicas that are moved, groups that are split and merged.
const ROUNDS: usize = 8;
const MOVES: usize = 3;
/// Accounts that write all the time, each over the SDK: it finds the leader and tries again.
const WRITERS: usize = 8;
/// Bytes that a group holds when a replica of it is made anew.
const FILES: usize = 4;
const FILE_BYTES: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(120);
/// Nodes of the growing cluster; each step adds a group of three replicas for each three nodes.
const SIZES: [usize; 3] = [3, 6, 9];
const CLIENTS: usize = 64;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let folder = setting.folder().join("changes");
    output::complain("starting a cluster of one voter and four nodes");
    let mut running = Running::replicated(&folder, 4)?;
    running.accounts(WRITERS)?;
    let mut figures = failover(&mut running)?;
    figures.extend(replica_moves(&mut running, &folder)?);
    figures.extend(slot_moves(&mut running)?);
    drop(running);
    figures.extend(growth(setting)?);
    Ok(figures)
}

/// When a write began and ended.
type Write = (Instant, Instant);

/// One write after the other by each account.
struct Writing {
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<anyhow::Result<Vec<Write>>>>,
}

impl Writing {
    fn start(runtime: &Handle, accounts: &[Account]) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let file = std::env::temp_dir().join(format!("bench-pulse-{}", std::process::id()));
        fs::write(&file, b"pulse").context("a small file")?;
        let mut writers = Vec::new();
        for account in accounts {
            let (stop, file, files) = (Arc::clone(&stop), file.clone(), account.client.files());
            let name = FileName::new(b"pulse".to_vec()).context("a name")?;
            writers.push(runtime.spawn(async move {
                let mut writes = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    files.put(&name, &file, &|_| {}).await.context("a write")?;
                    writes.push((begin, Instant::now()));
                }
                anyhow::Ok(writes)
            }));
        }
        Ok(Self { stop, writers })
    }

    /// All writes.
    fn finish(self, runtime: &Handle) -> anyhow::Result<Vec<Write>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for writer in self.writers {
            all.extend(runtime.block_on(writer).context("a writer")??);
        }
        Ok(all)
    }
}

/// The leader is killed: how long until the next write is acknowledged that began after that.
fn failover(running: &mut Running) -> anyhow::Result<Vec<Figure>> {
    let runtime = running.runtime.handle().clone();
    let mut pauses = Vec::new();
    for _ in 0..ROUNDS {
        let group = running.group()?;
        let leader = running.cluster.leader_of(group)?;
        let writing = Writing::start(&runtime, running.accounts(WRITERS)?)?;
        sleep(Duration::from_secs(1));
        let killed = Instant::now();
        running.cluster.node(leader)?.kill()?;
        sleep(Duration::from_secs(6));
        let writes = writing.finish(&runtime)?;
        let next =
            writes.iter().filter(|(_, end)| *end > killed + Duration::from_millis(20)).map(|(_, end)| *end);
        let next = next.min().context("nothing was written after a leader was killed")?;
        pauses.push(ms(next - killed));
        running.cluster.node(leader)?.start_and_wait()?;
        running.cluster.wait_groups_ready()?;
        sleep(Duration::from_secs(2));
    }
    pauses.sort_by(f64::total_cmp);
    let at = |percent: usize| pauses.get((pauses.len() - 1) * percent / 100).copied().unwrap_or_default();
    Ok(vec![
        Figure::new("leader killed until the next write is acknowledged: p50", "ms", at(50)),
        Figure::new("leader killed until the next write is acknowledged: longest", "ms", at(100))
            .aiming(Aim::AtMost(3000.0)),
    ])
}

/// A replica moves to another node under load: how long the slowest write takes, and how fast content gets there.
fn replica_moves(running: &mut Running, folder: &std::path::Path) -> anyhow::Result<Vec<Figure>> {
    let runtime = running.runtime.handle().clone();
    let content = folder.join("content");
    fs::write(&content, vec![7; FILE_BYTES]).context("a large file")?;
    let account = running.accounts(1)?.first().context("no client")?;
    for number in 0..FILES {
        let name = FileName::new(format!("large-{number}").into_bytes()).context("a name")?;
        runtime.block_on(account.client.files().put(&name, &content, &|_| {})).context("a large file")?;
    }
    let (mut pauses, mut speeds) = (Vec::new(), Vec::new());
    for _ in 0..MOVES {
        let group = running.group()?;
        let (from, to) = running.move_of(group)?;
        let writing = Writing::start(&runtime, running.accounts(WRITERS)?)?;
        sleep(Duration::from_secs(1));
        let begin = Instant::now();
        running.cluster.move_replica(group, from, to)?;
        let took = begin.elapsed();
        sleep(Duration::from_millis(500));
        pauses.push(longest(&writing.finish(&runtime)?, begin));
        let bytes = u64::try_from(FILES * FILE_BYTES).unwrap_or(u64::MAX);
        speeds.push(float(bytes) / 1e6 / took.as_secs_f64());
    }
    let pause = pauses.into_iter().fold(0.0, f64::max);
    Ok(vec![
        Figure::new("replica moves under load: longest write", "ms", pause).aiming(Aim::AtMost(200.0)),
        Figure::new("replica made anew elsewhere, whole move", "MB/s", crate::measure::median(speeds)),
    ])
}

/// Half of a group's slots move to a new group and back: how long the slowest write takes.
fn slot_moves(running: &mut Running) -> anyhow::Result<Vec<Figure>> {
    let runtime = running.runtime.handle().clone();
    let group = running.group()?;
    let mut pauses = Vec::new();
    for _ in 0..MOVES {
        let writing = Writing::start(&runtime, running.accounts(WRITERS)?)?;
        sleep(Duration::from_secs(1));
        let begin = Instant::now();
        let to = running.cluster.split(group)?;
        running
            .cluster
            .wait_slots("a split", |groups| groups.iter().any(|row| row.group == to && row.slots > 0))?;
        sleep(Duration::from_millis(500));
        running.cluster.merge(to, group)?;
        running.cluster.wait_slots("a merge", |groups| {
            groups
                .iter()
                .any(|row| row.group == group && row.slots == u32::from(holdfast_domain::Slot::COUNT))
        })?;
        sleep(Duration::from_millis(500));
        pauses.push(longest(&writing.finish(&runtime)?, begin));
    }
    let pause = pauses.into_iter().fold(0.0, f64::max);
    Ok(vec![Figure::new("slots move under load: longest write", "ms", pause).aiming(Aim::AtMost(200.0))])
}

/// Writes of clusters of more nodes and groups, all on this machine.
fn growth(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let span = setting.span;
    let mut figures = Vec::new();
    for nodes in SIZES {
        let mut running = Running::of(&setting.folder().join(format!("grown-{nodes}")), nodes, nodes / 3)?;
        let runtime = running.runtime.handle().clone();
        let accounts = running.accounts(CLIENTS)?.get(..CLIENTS).context("too few clients")?;
        let load = runtime.block_on(writes::to_leaders(accounts, span))?;
        let name = format!("durable 256 B writes, {CLIENTS} clients, {nodes} nodes of this machine");
        figures.push(Figure::new(name, "/s", load.rate()));
    }
    Ok(figures)
}

/// Milliseconds of the slowest write that ended after `from`.
fn longest(writes: &[Write], from: Instant) -> f64 {
    let took = writes.iter().filter(|(_, end)| *end > from).map(|(begin, end)| ms(*end - *begin));
    took.fold(0.0, f64::max)
}

impl Running {
    /// The first group.
    fn group(&self) -> anyhow::Result<u32> {
        Ok(self.cluster.groups()?.first().context("no group")?.group)
    }

    /// Places of a node with a replica that does not lead, and of a node without one.
    fn move_of(&self, group: u32) -> anyhow::Result<(usize, usize)> {
        let leader = self.cluster.leader_of(group)?;
        let rows = wait::until(PATIENCE, "the groups", || Ok(Some(self.cluster.replicas()?)))?;
        let row = rows.iter().find(|row| row.group == group).context("no such group")?;
        let mut places = (None, None);
        for place in 0..self.cluster.nodes.len() {
            let id = self.cluster.id_at(place)?;
            if !row.replicas.iter().any(|replica| replica.node_id == id) {
                places.1 = Some(place);
            } else if place != leader {
                places.0 = Some(place);
            }
        }
        places.0.zip(places.1).context("no replica can move")
    }
}
