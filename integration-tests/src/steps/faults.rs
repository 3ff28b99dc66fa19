//! Step 8: processes that are killed.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::{
    files::{compare, verify_everything},
    groups::home_of,
    large,
};
use crate::{
    cluster::AGREE_TIMEOUT,
    job::Job,
    report::{Progress, seconds},
    wait,
};

/// How soon the registry must answer again.
const FAILOVER: Duration = Duration::from_secs(5);

/// Kills the leading voter, measures until another answers writes and fresh reads, and brings it back.
///
/// # Errors
/// It takes too long, or something that was acknowledged is lost.
pub fn kill_leader(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    kill_leader_once(job, progress, "first")
}

/// The same again: whoever came back may lead now.
///
/// # Errors
/// See [`kill_leader`].
pub fn kill_leader_again(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    kill_leader_once(job, progress, "second")
}

fn kill_leader_once(job: &mut Job, progress: &Progress, name: &str) -> anyhow::Result<String> {
    let cluster = &mut job.cluster;
    // Acknowledged just before: it must be there afterwards.
    let invite = cluster.invite(&format!("{name}-before"), "1MiB")?;
    let before = cluster.status()?;
    let leader = cluster.wait_leader()?;
    cluster.voter(leader)?.kill()?;
    let started = Instant::now();
    wait::until(Duration::from_secs(30), "the registry after its leader's end", || {
        let now = cluster.status()?;
        Ok((now.leader.is_some() && now.leader != before.leader).then_some(()))
    })?;
    let answers = started.elapsed();
    cluster.invite(&format!("{name}-after"), "1MiB")?;
    let writes = started.elapsed();
    ensure!(writes < FAILOVER, "the registry took {} to write again", seconds(writes));
    let after = cluster.status()?;
    ensure!(
        after.applied_index >= before.applied_index && after.groups == before.groups,
        "something is lost"
    );
    cluster.register(&format!("{name}-found-again"), &invite).context("an invite from before the kill")?;
    progress.say("the killed voter comes back");
    cluster.voter(leader)?.start_and_wait()?;
    catch_up(job, leader)?;
    job.figure("registry after kill -9 of its leader", format!("answers after {}", seconds(answers)));
    Ok(format!("answers after {}, writes after {}, nothing lost", seconds(answers), seconds(writes)))
}

/// Waits until a restarted voter has applied what the others have by now.
fn catch_up(job: &Job, index: usize) -> anyhow::Result<()> {
    let address = job.cluster.voters.get(index).context("no voter")?.address();
    let target = job.cluster.status()?.applied_index;
    wait::until(AGREE_TIMEOUT, "a restarted voter that has caught up", || {
        Ok((job.cluster.applied_at(&address)? >= target).then_some(()))
    })
}

/// Kills a node while it receives a file, starts it again, and lets the client finish.
///
/// # Errors
/// The client does not get through, or a file that was acknowledged is not there.
pub fn kill_node_in_upload(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let account = job.stored.first().context("no account")?.account.clone();
    let group = job.cluster.groups_of(&[account.id])?.first().copied().context("no group")?;
    let home = home_of(&job.cluster.groups()?, group)?;
    let index = job.cluster.nodes.iter().position(|node| node.node.as_deref() == Some(home.as_str()));
    let index = index.context("an unknown node")?;
    let file = large::generate(&job.cluster, "survivor.bin", job.pace.large_file, 4)?;
    let path = file.display().to_string();
    let arguments = ["files", "put", &path, "--as", "survivor.bin", "--timeout", "2m"];
    let mut client = large::start_upload(&job.cluster, &account, &arguments, job.pace.large_file / 4)?;
    let node = job.cluster.node(index)?;
    node.kill()?;
    ensure!(client.try_wait()?.is_none(), "the upload was over before the node was killed");
    thread::sleep(Duration::from_secs(1));
    progress.say("the killed node comes back");
    let started = Instant::now();
    let name = node.name().to_owned();
    node.start_and_wait()?;
    let back = started.elapsed();
    let ended = || Ok(client.try_wait()?);
    let status = wait::until(Duration::from_secs(180), "the end of the interrupted upload", ended)?;
    ensure!(status.success(), "the interrupted upload ended with {status}");
    let got = job.cluster.fetched("survivor.bin")?;
    account.holdfast().ok(["files", "get", "survivor.bin", "-O", &got.display().to_string()])?;
    compare(&file, &got)?;
    drop(std::fs::remove_file(&got));
    account.holdfast().ok(["files", "rm", "survivor.bin"])?;
    let files = verify_everything(job, progress)?;
    job.figure("node after kill -9 (unseal included)", format!("listens after {}", seconds(back)));
    Ok(format!(
        "{name} was back in {}, the upload went on, {files} acknowledged files are there",
        seconds(back)
    ))
}
