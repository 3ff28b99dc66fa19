//! What clients see of a group's changes: a leader that is killed, replicas and slots that move, more nodes than the machine has cores; and
//! what groups cost that nobody uses.

mod failover;
mod growth;
mod idle;
mod moves;
mod pulse;
mod slots;

use std::{fs, time::Duration};

use anyhow::Context as _;

use super::Setting;
use crate::{cluster::Running, figure::Figure, output};

/// Accounts that write all the time, each over the SDK: it finds the leader and tries again.
const WRITERS: usize = 16;
/// Longest pause of a client's write that we want while something moves.
const PAUSE_MS: f64 = 200.0;
/// How long writers write before something happens to them.
const BEFORE: Duration = Duration::from_secs(1);

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![load_average()?];
    figures.extend(idle::measure()?);
    output::complain("starting a cluster of one voter and four nodes");
    let folder = setting.folder().join("changes");
    let mut running = Running::replicated(&folder, 4)?;
    running.accounts(WRITERS)?;
    output::complain("leaders are killed");
    figures.extend(failover::measure(&mut running)?);
    output::complain("slots move to a new group and back");
    figures.extend(slots::measure(&mut running)?);
    output::complain("replicas move");
    figures.extend(moves::measure(&mut running, &folder)?);
    drop(running);
    output::complain("clusters of three, six and nine nodes");
    figures.extend(growth::measure(setting)?);
    Ok(figures)
}

/// Who else used the machine: figures of a busy one say little.
fn load_average() -> anyhow::Result<Figure> {
    let text = fs::read_to_string("/proc/loadavg").context("the machine's load")?;
    let minute = text.split_whitespace().next().context("the machine's load")?;
    let load = minute.parse().context("the machine's load")?;
    Ok(Figure::new("load average of the machine when this began", "processes", load))
}

/// The value below which this many percent of some are.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last * percent).div_ceil(100)).copied().unwrap_or_default()
}

impl Running {
    /// The first group.
    fn group(&self) -> anyhow::Result<u32> {
        Ok(self.cluster.groups()?.first().context("no group")?.group)
    }
}
