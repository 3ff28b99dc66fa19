//! Memory of another process.

use std::fs;

use anyhow::Context as _;

use super::float;

/// Resident memory (VmRSS) in MiB.
///
/// # Errors
/// There is no such process.
pub(crate) fn resident_mib(id: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).context("reading a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().context("VmRSS")?;
    Ok(float(kib) / 1024.0)
}
