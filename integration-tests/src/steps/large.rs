//! Step 6, continued: a large file with bounded memory, an upload that survives its client, a quota that holds.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use super::files::compare;
use crate::{
    cluster::{Account, Cluster, Server},
    job::Job,
    process::peak_memory,
    report::{Progress, bytes, seconds},
    wait,
};

/// Most memory that a client may ever hold.
const CLIENT_MEMORY: u64 = 128 << 20;
/// Most memory that a node may ever hold.
const NODE_MEMORY: u64 = 512 << 20;
/// How long a large transfer may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Puts and gets a file that is larger than any buffer, and watches how much memory client and nodes hold.
///
/// # Errors
/// It does not come back as it was, or memory is not bounded.
pub fn large_file(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let account = first(job)?;
    let file = generate(&job.cluster, "large.bin", job.pace.large_file, 1)?;
    let got = job.cluster.fetched("large.bin")?;
    progress.say("putting");
    let started = Instant::now();
    let path = file.display().to_string();
    let put = run_watched(&job.cluster, &account, &["files", "put", &path, "--as", "large.bin"])?;
    let putting = started.elapsed();
    progress.say("getting");
    let started = Instant::now();
    let get = run_watched(
        &job.cluster,
        &account,
        &["files", "get", "large.bin", "-O", &got.display().to_string()],
    )?;
    let getting = started.elapsed();
    compare(&file, &got)?;
    drop(std::fs::remove_file(&got));
    let client = put.max(get);
    ensure!(client < CLIENT_MEMORY, "the client held {}", bytes(client));
    let mut node = 0;
    for server in &job.cluster.nodes {
        node = node.max(server.peak_memory()?);
    }
    ensure!(node < NODE_MEMORY, "a node held {}", bytes(node));
    account.holdfast().ok(["files", "rm", "large.bin"])?;
    let size = bytes(job.pace.large_file);
    job.figure("large file", format!("{size}: put {}, get {}", seconds(putting), seconds(getting)));
    job.figure("most memory ever held", format!("client {}, node {}", bytes(client), bytes(node)));
    Ok(format!("{size}; most memory: client {}, node {}", bytes(client), bytes(node)))
}

/// Kills the client in the middle of an upload and lets it try again.
///
/// # Errors
/// The second try does not go on where the first was cut off, or the file is not what it was.
pub fn resume(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let account = first(job)?;
    let file = generate(&job.cluster, "resumed.bin", job.pace.large_file, 2)?;
    let got = job.cluster.fetched("resumed.bin")?;
    let path = file.display().to_string();
    let arguments = ["files", "put", &path, "--as", "resumed.bin"];
    let mut client = start_upload(&job.cluster, &account, &arguments, job.pace.large_file / 4)?;
    client.kill().context("killing a client")?;
    client.wait()?;
    account.holdfast().refused(["files", "stat", "resumed.bin"], "not_found")?;
    let put = account.holdfast().json(arguments)?;
    let resumed = put.get("resumed_from").and_then(serde_json::Value::as_u64).unwrap_or(0);
    ensure!(resumed > 0, "the upload began anew: {put}");
    account.holdfast().ok(["files", "get", "resumed.bin", "-O", &got.display().to_string()])?;
    compare(&file, &got)?;
    drop(std::fs::remove_file(&got));
    account.holdfast().ok(["files", "rm", "resumed.bin"])?;
    Ok(format!("went on after {} of {}", bytes(resumed), bytes(job.pace.large_file)))
}

/// An account with a small quota may fill it and no more.
///
/// # Errors
/// It may store more.
pub fn quota(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let account = job.cluster.add_account("small-quota", "1MiB")?;
    let fits = generate(&job.cluster, "fits.bin", 700 << 10, 3)?;
    let holdfast = account.holdfast();
    let path = fits.display().to_string();
    holdfast.ok(["files", "put", &path, "--as", "one.bin"])?;
    holdfast.refused(["files", "put", &path, "--as", "two.bin"], "quota_exceeded")?;
    holdfast.ok(["files", "rm", "one.bin"])?;
    holdfast.ok(["files", "put", &path, "--as", "two.bin"])?;
    Ok("700 KiB of 1 MiB twice: the second is refused until the first is removed".to_owned())
}

/// Starts an upload in the background and returns when the nodes have written `at_least` bytes of it.
///
/// # Errors
/// The upload ends before that.
pub(super) fn start_upload(
    cluster: &Cluster,
    account: &Account,
    arguments: &[&str],
    at_least: u64,
) -> anyhow::Result<Child> {
    let written = || -> u64 { cluster.nodes.iter().map(written).sum() };
    let before = written();
    let log = crate::process::append(&cluster.path("calls.log"))?;
    let mut command = account.holdfast().command(arguments);
    let mut client = command.stdout(std::process::Stdio::null()).stderr(log).spawn().context("an upload")?;
    wait::until(TIMEOUT, "the middle of an upload", || {
        ensure!(client.try_wait()?.is_none(), "the upload ended early");
        Ok((written() >= before + at_least).then_some(()))
    })?;
    Ok(client)
}

/// Runs a client to its end and returns the most memory that it held.
fn run_watched(cluster: &Cluster, account: &Account, arguments: &[&str]) -> anyhow::Result<u64> {
    let log = crate::process::append(&cluster.path("calls.log"))?;
    let mut command = account.holdfast().command(arguments);
    let mut client = command.stdout(std::process::Stdio::null()).stderr(log).spawn().context("a client")?;
    let mut peak = 0;
    let status = wait::until(TIMEOUT, "a large transfer", || {
        // Between its end and our waiting for it a process has no memory.
        peak = peak.max(peak_memory(client.id()).unwrap_or(0));
        Ok(client.try_wait()?)
    })?;
    ensure!(status.success(), "`holdfast {}` ended with {status}", arguments.join(" "));
    ensure!(peak > 0, "no memory was measured");
    Ok(peak)
}

/// Bytes that a node's process has written to files so far.
fn written(node: &Server) -> u64 {
    let counters = || -> anyhow::Result<u64> {
        let counters = std::fs::read_to_string(format!("/proc/{}/io", node.process_id()?))?;
        let line = counters.lines().find_map(|line| line.strip_prefix("wchar:")).context("no wchar")?;
        Ok(line.trim().parse()?)
    };
    counters().unwrap_or(0)
}

/// A file of numbered lines, each different, made anew for each number.
///
/// # Errors
/// The file system refuses.
pub fn generate(cluster: &Cluster, name: &str, length: u64, number: u64) -> anyhow::Result<PathBuf> {
    let folder = cluster.path("generated");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).context("a generated file")?);
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut left = length;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let line = format!("generated {number} {state:016x}{:016x}\n", state.wrapping_mul(31));
        let take = usize::try_from(left)?.min(line.len());
        file.write_all(line.as_bytes().get(..take).unwrap_or_default())?;
        left -= u64::try_from(take)?;
    }
    file.flush()?;
    Ok(path)
}

fn first(job: &Job) -> anyhow::Result<Account> {
    Ok(job.stored.first().context("no account")?.account.clone())
}
