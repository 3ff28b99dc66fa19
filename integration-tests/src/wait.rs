//! Waiting for something to become so.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;

const POLL: Duration = Duration::from_millis(25);

/// Asks again and again until the answer is `Some`; an error counts as "not yet" and is told when time is over.
///
/// # Errors
/// Not in time.
pub fn until<T>(
    timeout: Duration,
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let last = match ask() {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > timeout {
            let late = format!("{what}: not within {} s", timeout.as_secs());
            return Err(last.unwrap_or_else(|| anyhow!("it just did not happen")).context(late));
        }
        thread::sleep(POLL);
    }
}

/// How long something takes to become so.
///
/// # Errors
/// Not in time.
pub fn time_until(
    timeout: Duration,
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    until(timeout, what, || Ok(ask()?.then_some(())))?;
    Ok(start.elapsed())
}
