//! Two ways of doing a thing, in turns, so that whatever else the machine does falls on both.

use std::time::{Duration, Instant};

use super::{cpu, float, median};

/// Turns each way takes.
const TURNS: u32 = 9;

/// CPU microseconds for one operation, the median over the turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    /// Ours.
    pub(crate) ours: f64,
    /// The other way.
    pub(crate) reference: f64,
}

/// Whose CPU counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    /// That of all threads: for operations that end when all of their work is done. Nothing else may run in the process.
    Process,
    /// The calling thread's: for operations that leave work to others.
    Thread,
}

/// One operation.
pub(crate) type Operation<'a> = &'a mut dyn FnMut() -> anyhow::Result<()>;

/// Takes turns for `span` in all.
pub(crate) fn compare(
    span: Duration,
    count: Count,
    ours: Operation<'_>,
    reference: Operation<'_>,
) -> anyhow::Result<Pair> {
    let turn = span / (2 * TURNS);
    // The first turn of each warms caches and files up.
    let _ = (one_turn(turn / 4, count, ours)?, one_turn(turn / 4, count, reference)?);
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        costs.0.push(one_turn(turn, count, ours)?);
        costs.1.push(one_turn(turn, count, reference)?);
    }
    Ok(Pair { ours: median(costs.0), reference: median(costs.1) })
}

fn one_turn(span: Duration, count: Count, operation: Operation<'_>) -> anyhow::Result<f64> {
    let clock = match count {
        Count::Process => cpu::process,
        Count::Thread => cpu::thread,
    };
    let (start, used) = (Instant::now(), clock());
    let mut done = 0u64;
    while done == 0 || start.elapsed() < span {
        operation()?;
        done += 1;
    }
    Ok(super::us(clock() - used) / float(done))
}
