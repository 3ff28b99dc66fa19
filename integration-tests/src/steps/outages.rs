//! Step 8, continued: the registry is away, and everything is off.

use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{
    files::{compare, get_one, verify_everything},
    large,
};
use crate::{
    job::{Job, Stored},
    report::{Progress, seconds},
};

/// Stops all voters, restarts a node meanwhile, and lets clients go on reading and writing.
///
/// # Errors
/// A client cannot go on, or the registry does not come back.
pub fn registry_away(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let before = job.cluster.status()?;
    job.cluster.stop_voters()?;
    let (started, away) = (Instant::now(), job.pace.registry_away);
    progress.say("all voters are away");
    progress.length(away.as_secs());
    let small = large::generate(&job.cluster, "meanwhile.bin", 40 << 10, 5)?;
    let accounts: Vec<_> =
        job.stored.iter().filter(|stored| !stored.share.files.is_empty()).cloned().collect();
    let (mut rounds, mut restarted) = (0u64, None);
    for stored in accounts.iter().cycle() {
        if started.elapsed() >= away {
            break;
        }
        if restarted.is_none() && started.elapsed() > away / 4 {
            let begun = Instant::now();
            let node = job.cluster.node(0)?;
            node.stop()?;
            node.start_and_wait()?;
            restarted = Some(begun.elapsed());
        }
        read_and_write(job, stored, &small, rounds)?;
        rounds += 1;
        progress.to(started.elapsed().as_secs());
    }
    let (away, begun) = (started.elapsed(), Instant::now());
    job.cluster.start_voters()?;
    let back = seconds(begun.elapsed());
    let after = job.cluster.status()?;
    ensure!(after.applied_index >= before.applied_index, "the registry lost something");
    let restarted = restarted.context("no node was restarted")?;
    job.figure("restart of a node without a registry", seconds(restarted));
    Ok(format!(
        "{} without any voter, {rounds} times wrote and read, a node restarted in {}, voters back in {back}",
        seconds(away),
        seconds(restarted)
    ))
}

fn read_and_write(job: &Job, stored: &Stored, small: &std::path::Path, round: u64) -> anyhow::Result<()> {
    let holdfast = stored.account.holdfast();
    let name = format!("meanwhile-{round}.bin");
    let failed = || format!("{} while all voters are away", stored.account.context);
    holdfast.ok(["files", "put", &small.display().to_string(), "--as", &name]).with_context(failed)?;
    let got = job.cluster.fetched(&name)?;
    holdfast.ok(["files", "get", &name, "-O", &got.display().to_string()]).with_context(failed)?;
    compare(small, &got)?;
    holdfast.ok(["files", "rm", &name]).with_context(failed)?;
    let file = stored.share.files.first().context("no file")?;
    get_one(&job.cluster, stored, file, "meanwhile").with_context(failed)
}

/// Stops everything, pulls the plug of all TPMs, and starts it all again.
///
/// # Errors
/// Something does not come back, or a file is not what it was.
pub fn cold_start(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    job.cluster.stop()?;
    progress.say("everything is off; starting");
    let started = Instant::now();
    job.cluster.cold_start()?;
    job.cluster.wait_groups_ready()?;
    let account = job.stored.first().context("no account")?.account.clone();
    account.holdfast().ok(["files", "ls"]).context("the first listing")?;
    let time = started.elapsed();
    let files = verify_everything(job, progress)?;
    job.figure("cold start of everything, TPMs included", seconds(time));
    Ok(format!("served after {}, {files} files read back", seconds(time)))
}
