//! `--keep`: the cluster stays up after the demonstration, in the hands of a keeper process.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};

use crate::{cluster::Cluster, process, wait};

const READY: &str = "keeper.ready";
const LOG: &str = "logs/keeper.log";
/// A cold start of eight processes and as many TPMs.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Hands a running cluster over to a keeper, and writes `env` and `stop`.
///
/// # Errors
/// The keeper does not get it up again.
pub fn hand_over(mut cluster: Cluster) -> anyhow::Result<()> {
    cluster.keep()?;
    cluster.stop()?;
    write_env(&cluster)?;
    // The operator's context is the only one of its kind; of the clients' one must be chosen.
    cluster.holdfast().ok(["context", "use", "account-01"])?;
    let folder = cluster.folder().to_owned();
    drop(cluster);
    start_keeper(&folder)
}

/// The keeper's life: a cold start, then waiting to be told to stop.
///
/// # Errors
/// Something does not start or stop.
pub fn run(folder: &Path) -> anyhow::Result<()> {
    let mut cluster = Cluster::kept(folder)?;
    cluster.cold_start()?;
    fs::write(folder.join(READY), std::process::id().to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        loop {
            tokio::select! {
                // The terminal that started us may go; the cluster stays.
                _ = hangup.recv() => {}
                _ = terminate.recv() => return anyhow::Ok(()),
                _ = interrupt.recv() => return anyhow::Ok(()),
            }
        }
    })?;
    drop(fs::remove_file(folder.join(READY)));
    cluster.stop()
}

fn start_keeper(folder: &Path) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("where is this program?")?;
    drop(fs::remove_file(folder.join(READY)));
    let log = process::append(&folder.join(LOG))?;
    let mut keeper = Command::new(own)
        .arg("keep-running")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("starting the keeper")?;
    let ready = wait::until(TIMEOUT, "the kept cluster", || {
        if keeper.try_wait()?.is_some() {
            return Ok(Some(false));
        }
        Ok(folder.join(READY).exists().then_some(true))
    })?;
    if !ready {
        bail!("the keeper ended: {}", process::tail(&folder.join(LOG)));
    }
    Ok(())
}

/// `. env` makes the cluster usable in a shell; `stop` ends it.
fn write_env(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = cluster.folder().display();
    let programs = cluster.programs().folder().display();
    let env = format!("export HOLDFAST_CONFIG='{folder}/config.toml'\nexport PATH='{programs}':\"$PATH\"\n");
    fs::write(cluster.path("env"), env)?;
    let stop = format!(
        "#!/bin/sh\n# Stops the kept cluster; `make clean` removes it.\n\
         pid=$(cat '{folder}/{READY}' 2>/dev/null) || {{ echo 'it does not run'; exit 0; }}\n\
         kill \"$pid\" && while kill -0 \"$pid\" 2>/dev/null; do sleep 0.1; done\necho stopped\n"
    );
    let path = cluster.path("stop");
    fs::write(&path, stop)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("making `stop` executable")
}
