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

/// One operation.
pub(crate) type Operation<'a> = &'a mut dyn FnMut() -> anyhow::Result<()>;

/// Takes turns for `span` in all. CPU is the process's: nothing else may run in it.
pub(crate) fn compare(span: Duration, ours: Operation<'_>, reference: Operation<'_>) -> anyhow::Result<Pair> {
    let turn = span / (2 * TURNS);
    // The first turn of each warms caches and files up.
    let _ = (one_turn(turn / 4, ours)?, one_turn(turn / 4, reference)?);
    let mut costs = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        costs.0.push(one_turn(turn, ours)?);
        costs.1.push(one_turn(turn, reference)?);
    }
    Ok(Pair { ours: median(costs.0), reference: median(costs.1) })
}

fn one_turn(span: Duration, operation: Operation<'_>) -> anyhow::Result<f64> {
    let (start, used) = (Instant::now(), cpu::process());
    let mut count = 0u64;
    while count == 0 || start.elapsed() < span {
        operation()?;
        count += 1;
    }
    Ok(super::us(cpu::process() - used) / float(count))
}
