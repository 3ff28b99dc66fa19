//! Step 1: root, shares, first voter, operator.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::{Context as _, ensure};

use crate::{job::Job, report::Progress};

/// Founds the cluster, and checks what the founding hands to people.
///
/// # Errors
/// Something is missing or open to others.
pub fn found(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    job.cluster.found()?;
    let shares = job.cluster.shares()?;
    ensure!(shares.len() == 5, "{} shares instead of 5", shares.len());
    for share in &shares {
        expect_private(share)?;
    }
    for entry in fs::read_dir(job.cluster.credential()).context("the operator's credential")? {
        expect_private(&entry?.path())?;
    }
    job.cluster.holdfast().ok(["operator", "renew"]).context("renewing the operator's certificate")?;
    let founded = job.cluster.founded()?;
    let pin = founded.root_hash.get(..16).unwrap_or_default().to_owned();
    job.figure("root hash to pin", founded.root_hash.clone());
    Ok(format!("3-of-5 shares, operator for 7 days, root {pin}.."))
}

/// That nobody else can read a secret.
fn expect_private(path: &Path) -> anyhow::Result<()> {
    let mode = fs::metadata(path).with_context(|| path.display().to_string())?.permissions().mode() & 0o777;
    ensure!(mode & 0o077 == 0, "{} has mode {mode:o}", path.display());
    Ok(())
}
