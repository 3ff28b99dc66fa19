//! What the disk gives to a program that does nothing else.

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{float, float_len, load::Load};

/// Bytes of one write of large content.
const BLOCK: usize = 256 * 1024;

/// Appends records of `size` bytes to a file, each synced by fdatasync before the next.
///
/// # Errors
/// The disk's.
pub(crate) fn synced_appends(folder: &Path, size: usize, span: Duration) -> anyhow::Result<Load> {
    let mut file = fresh(folder)?;
    let record = vec![7; size];
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < span {
        let begin = Instant::now();
        file.write_all(&record).context("appending")?;
        file.sync_data().context("syncing")?;
        latencies.push(begin.elapsed());
    }
    Ok(Load::new(latencies, start.elapsed()))
}

/// Sequential speed in MB/s.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequential {
    /// Writing, until it is synced.
    pub(crate) write: f64,
    /// Reading back what was written just now.
    pub(crate) read: f64,
}

/// Writes `bytes`, syncs them, and reads them back.
///
/// # Errors
/// The disk's.
pub(crate) fn sequential(folder: &Path, bytes: u64) -> anyhow::Result<Sequential> {
    let mut file = fresh(folder)?;
    let mut block = vec![7; BLOCK];
    let blocks = bytes / u64::try_from(BLOCK).unwrap_or(1);
    let start = Instant::now();
    for _ in 0..blocks {
        file.write_all(&block).context("writing")?;
    }
    file.sync_data().context("syncing")?;
    let written = start.elapsed();
    file.rewind().context("rewinding")?;
    let start = Instant::now();
    for _ in 0..blocks {
        file.read_exact(&mut block).context("reading")?;
    }
    let megabytes = float(blocks) * float_len(BLOCK) / 1e6;
    Ok(Sequential {
        write: megabytes / written.as_secs_f64(),
        read: megabytes / start.elapsed().as_secs_f64(),
    })
}

fn fresh(folder: &Path) -> anyhow::Result<File> {
    tempfile::tempfile_in(folder).with_context(|| format!("making a file in {}", folder.display()))
}
