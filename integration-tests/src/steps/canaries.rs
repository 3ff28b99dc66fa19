//! Step 7: no name, no content and no key lies open anywhere: not in data folders, logs, backups or traffic.

use std::{fs, time::Instant};

use anyhow::{Context as _, ensure};

use crate::{
    canary::{Findings, Needles, add_file, add_key, plant, search_capture, search_folder},
    cluster::Cluster,
    input::InputFile,
    job::Job,
    keys_out::{recovery_key, registry_keys, store_keys},
    recorder::{Recorder, Recording},
    report::{Progress, bytes, seconds},
};

/// Shares that open everything.
const THRESHOLD: usize = 3;

/// Begins to record.
///
/// # Errors
/// Not root, or no `tcpdump`.
pub fn record(job: &mut Job, _: &Progress) -> anyhow::Result<String> {
    let (file, log) = (job.cluster.path("traffic.pcap"), job.cluster.path("logs/tcpdump.log"));
    job.recorder = Some(Recorder::start(&file, &log)?);
    Ok(format!("tcpdump into {}", file.display()))
}

/// The same where it can be; tests run as anybody.
///
/// # Errors
/// No `tcpdump`.
pub fn record_if_root(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    if rustix::process::geteuid().is_root() {
        return record(job, progress);
    }
    Ok("not root: nothing is recorded".to_owned())
}

/// Stops everything, gets every key out with the officers' shares, and searches for all of it.
///
/// # Errors
/// Something is found, or what was planted is not.
pub fn canaries(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    let keys = key_needles(job, progress)?;
    if let Some(recorder) = job.recorder.take() {
        let recording = recorder.stop()?;
        ensure!(recording.packets > 0, "no traffic was recorded");
        ensure!(recording.lost == 0, "{} packets were not recorded", recording.lost);
        job.recording = Some(recording);
    }
    let Keys { mut needles, summary } = keys;
    let keys = needles.len();
    for file in &job.input.files {
        add_file(&mut needles, file)?;
    }
    for entry in fs::read_dir(job.cluster.path("generated")).into_iter().flatten() {
        let (path, relative) = (entry?.path(), "generated".into());
        add_file(&mut needles, &InputFile { length: path.metadata()?.len(), path, relative })?;
    }
    ensure!(needles.len() > keys, "no name and no content to look for");
    let started = Instant::now();
    let findings = search(job, &needles, progress)?;
    findings.expect_nothing()?;
    prove(&job.cluster, &needles, keys)?;
    let (files, size) = (findings.files, bytes(findings.bytes));
    job.figure("searched for plaintext", format!("{} needles in {size} of {files} files", needles.len()));
    job.figure("keys that the officers' shares open", summary);
    let traffic = job.recording.as_ref().map_or(0, |recording| recording.packets);
    Ok(format!(
        "{} needles in {size} ({traffic} packets) in {}: none found; the planted ones were",
        needles.len(),
        seconds(started.elapsed())
    ))
}

struct Keys {
    needles: Needles,
    summary: String,
}

/// CRK and DMKs from the registry's backup, everything below them from the nodes' stores. Stops the cluster.
fn key_needles(job: &mut Job, progress: &Progress) -> anyhow::Result<Keys> {
    let state = job.cluster.export()?;
    let shares = job.cluster.shares()?;
    let recovery = recovery_key(shares.get(..THRESHOLD).context("too few shares")?)?;
    ensure!(recovery_key(shares.get(1..THRESHOLD).unwrap_or_default()).is_err(), "2 shares open the key");
    let registry = registry_keys(&state, &recovery)?;
    ensure!(!registry.crk.is_empty(), "no CRK");
    progress.say("stopping everything");
    job.cluster.stop()?;
    let mut needles = Needles::new();
    for crk in &registry.crk {
        add_key(&mut needles, "CRK", crk.expose_for_wrapping());
    }
    for key in &registry.groups {
        add_key(&mut needles, &format!("DMK of group {}", key.group), key.dmk.expose_for_wrapping());
    }
    let (mut data, mut names) = (0, 0);
    for node in &job.cluster.nodes {
        progress.say(format!("opening the store of {}", node.name()));
        let keys = store_keys(node.data(), &registry).with_context(|| node.name().to_owned())?;
        keys.iter().for_each(|(what, key)| add_key(&mut needles, what, key));
        data += keys.data.len();
        names += keys.names.len();
    }
    let accounts = job.stored.len();
    ensure!(data >= accounts && names >= accounts, "{data} PDKs and {names} NKs for {accounts} accounts");
    let dmks = registry.groups.len();
    let summary = format!("{} CRK, {dmks} DMK, {data} PDK, {names} NK", registry.crk.len());
    Ok(Keys { needles, summary })
}

fn search(job: &Job, needles: &Needles, progress: &Progress) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let folders = job.cluster.voters.iter().chain(&job.cluster.nodes).map(|server| server.data().to_owned());
    for folder in folders.chain([job.cluster.path("logs"), job.cluster.path("export.state")]) {
        progress.say(format!("searching {}", folder.display()));
        search_folder(needles, &folder, &mut findings)?;
    }
    if let Some(Recording { file, .. }) = &job.recording {
        progress.say("searching the recorded traffic");
        search_capture(needles, file, &mut findings)?;
    }
    Ok(findings)
}

/// The same search finds a key, a name and a sample of a content once they are planted in a data folder.
fn prove(cluster: &Cluster, needles: &Needles, keys: usize) -> anyhow::Result<()> {
    let folder = cluster.nodes.first().context("no node")?.data().join("state");
    for index in [0, keys, needles.len() - 1] {
        let planted = needles.get(index).context("no needle")?;
        let place = plant(&folder, planted)?;
        let mut findings = Findings::default();
        let searched = search_folder(needles, &folder, &mut findings);
        fs::remove_file(&place)?;
        searched?;
        ensure!(findings.expect_nothing().is_err(), "a planted secret was not found");
    }
    Ok(())
}
