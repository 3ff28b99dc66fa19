//! Step 5: accounts, spread so that no group is empty, and the stale map.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{files, groups};
use crate::{
    cluster::Server,
    input::Share,
    job::{Job, Stored},
    report::Progress,
};

/// What an account may store; the quota step has an account of its own.
const QUOTA: &str = "4GiB";
/// Accounts that may be added until each group has one: far more than chance ever needs.
const MAX_SPARE: usize = 200;

/// Registers an account for each top-level folder of the input, and more until no group is empty.
///
/// # Errors
/// A registration is refused.
pub fn accounts(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let mut shares = job.input.by_account();
    while shares.len() < job.pace.accounts {
        split_largest(&mut shares)?;
    }
    let count = shares.len();
    progress.length(u64::try_from(count)?);
    for (number, share) in shares.into_iter().enumerate() {
        let context = format!("account-{:02}", number + 1);
        let account = job.cluster.add_account(&context, QUOTA)?;
        job.stored.push(Stored { account, share });
        progress.advance(1);
    }
    let spare = fill_groups(job)?;
    for stored in &job.stored {
        stage(job, stored).with_context(|| format!("the files of {}", stored.account.context))?;
    }
    let links = job.input.symlinks;
    let files = job.input.files.len();
    job.figure("accounts", format!("{} (of them {spare} so that no group is empty)", count + spare));
    Ok(format!("{count} accounts and {spare} spare ones for {files} files; {links} symlinks are not stored"))
}

/// Adds accounts, with half of the largest share each, until each group has one.
fn fill_groups(job: &mut Job) -> anyhow::Result<usize> {
    let all: BTreeSet<u32> = job.cluster.groups()?.iter().map(|group| group.group).collect();
    let ids: Vec<_> = job.stored.iter().map(|stored| stored.account.id).collect();
    let mut used: BTreeSet<u32> = job.cluster.groups_of(&ids)?.into_iter().collect();
    let mut spare = 0;
    for number in 1..=MAX_SPARE {
        if used == all {
            return Ok(spare);
        }
        // The account's id is the client's random choice: only a registration shows where it falls.
        let account = job.cluster.add_account(&format!("spare-{number:02}"), QUOTA)?;
        let group = job.cluster.groups_of(&[account.id])?.first().copied().context("no group")?;
        if used.insert(group) {
            let largest = job.stored.iter_mut().max_by_key(|stored| stored.share.files.len());
            let share = largest.context("no account")?.share.split();
            job.stored.push(Stored { account, share });
            spare += 1;
        }
    }
    anyhow::bail!("some of the groups {all:?} got no account: only {used:?}")
}

fn split_largest(shares: &mut Vec<Share>) -> anyhow::Result<()> {
    let largest = shares.iter_mut().max_by_key(|share| share.files.len()).context("no files")?;
    ensure!(largest.files.len() > 1, "the input has too few files for so many accounts");
    let half = largest.split();
    shares.push(half);
    Ok(())
}

/// Puts an account's files together below one folder, by links where the file system has them.
fn stage(job: &Job, stored: &Stored) -> anyhow::Result<()> {
    let folder = files::staged(&job.cluster, stored);
    fs::create_dir_all(&folder)?;
    for file in &stored.share.files {
        let to = folder.join(&file.relative);
        fs::create_dir_all(to.parent().unwrap_or(&folder))?;
        link(&file.path, &to).with_context(|| file.path.display().to_string())?;
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

/// A client with the map from before a move is told the new one and goes on, with one more try.
///
/// # Errors
/// It asks the registry, or fails.
pub fn stale_map(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let stored = job.stored.iter().find(|stored| !stored.share.files.is_empty()).context("no account")?;
    let stored = stored.clone();
    let file = stored.share.files.first().context("no file")?;
    // This writes the client's map of now to its cache.
    files::get_one(&job.cluster, &stored, file, "stale-before")?;
    let before = epoch(&stored)?;
    let group = job.cluster.groups_of(&[stored.account.id])?.first().copied().context("no group")?;
    let (from, to) = groups::move_somewhere(&job.cluster, group)?;
    ensure!(epoch(&stored)? == before, "the client learnt the new map by itself: nothing is shown here");
    let asked = resolves(job);
    files::get_one(&job.cluster, &stored, file, "stale-after")?;
    ensure!(resolves(job) == asked, "the client asked the registry: the node's answer was not enough");
    // A replica that stayed may have answered: to it the old map was good enough.
    let answered = match epoch(&stored)? {
        after if after > before => format!("was answered with {after}"),
        _ => "still led to a replica".to_owned(),
    };
    Ok(format!("a replica of group {group} went from {from} to {to}; map {before} {answered}"))
}

/// How often anybody asked a voter for the map, by the voters' audit lines.
fn resolves(job: &Job) -> usize {
    let count = |voter: &Server| voter.log_since_start().matches("Directory/Resolve").count();
    job.cluster.voters.iter().map(count).sum()
}

/// The epoch of the newest map that a client has seen, without asking anybody.
fn epoch(stored: &Stored) -> anyhow::Result<u64> {
    let shown = stored.account.holdfast().json(["client", "show"])?;
    shown.get("map_epoch").and_then(Value::as_u64).context("no map epoch")
}
