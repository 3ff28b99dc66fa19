//! Taking measurements: CPU time, turns between two ways of doing a thing, bounded loads, memory.

pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod turns;

/// A count as a number to divide by.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// A length as a number to divide by.
pub(crate) fn float_len(len: usize) -> f64 {
    float(u64::try_from(len).unwrap_or(u64::MAX))
}

/// Microseconds.
pub(crate) fn us(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Milliseconds.
pub(crate) fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The middle of some measurements; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
