//! CPU time: of a thread, of this process, of another process.

use std::{fs, time::Duration};

use anyhow::Context as _;
use cpu_time::{ProcessTime, ThreadTime};

/// `/proc` counts in hundredths of a second on every Linux that we run on.
const TICK: Duration = Duration::from_millis(10);

/// Used by the calling thread so far.
pub(crate) fn thread() -> Duration {
    ThreadTime::now().as_duration()
}

/// Used by all threads of this process so far, ended ones included.
pub(crate) fn process() -> Duration {
    ProcessTime::now().as_duration()
}

/// Used by another process so far, to the hundredth of a second.
///
/// # Errors
/// There is no such process.
pub(crate) fn of(id: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).context("reading a process's times")?;
    // The name may hold anything but ends at the last parenthesis; user and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').context("a process's times")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = ticks.sum::<Result<_, _>>().context("a process's times")?;
    Ok(TICK * ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_times_agree() {
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(100) {}
        let (thread, process, seen) = (thread(), process(), of(std::process::id()).unwrap());
        assert!(thread <= process && process + TICK * 2 >= seen && seen + TICK * 4 >= process);
    }
}
