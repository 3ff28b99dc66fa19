//! Waiting for something to become so.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{anyhow, bail};

const POLL: Duration = Duration::from_millis(25);

/// Set when somebody wants this program to end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Ends all waits of this process, now and from now on.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// That nobody wants this program to end.
///
/// # Errors
/// Somebody does.
pub fn go_on() -> anyhow::Result<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { bail!("interrupted") } else { Ok(()) }
}

/// Lets time go by.
///
/// # Errors
/// The program is to end.
pub fn rest(time: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    while began.elapsed() < time {
        go_on()?;
        thread::sleep(time.saturating_sub(began.elapsed()).min(POLL));
    }
    Ok(())
}

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
        go_on()?;
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
