//! `holdfast-demo`: runs the whole job on real processes, and says PASS or what failed.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demonstration talks to whoever runs it")]

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use holdfast_integration_tests::{
    input::Input,
    job::{Job, Pace},
    keep,
    report::{Report, bytes},
    steps,
};

/// Switches libtss2's own log off.
const TPM_LOG: &str = "TSS2_LOG";

/// Runs Holdfast's whole job on this machine: three voters, five nodes, software TPMs, real files, faults and refusals.
#[derive(Debug, Parser)]
#[command(name = "holdfast-demo", version)]
struct Arguments {
    /// Folder to store [default: /usr/share/doc, or /usr/share where that has too few files]
    #[arg(long, value_name = "DIR")]
    input: Option<PathBuf>,
    /// Folder for the cluster, made anew
    #[arg(long, value_name = "DIR", default_value = "demo")]
    dir: PathBuf,
    /// Shorter outages and a smaller large file
    #[arg(long)]
    quick: bool,
    /// Leave the cluster running, and say how to use and stop it
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<Subcommands>,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    /// Starts a kept cluster and holds it until told to stop
    #[command(hide = true)]
    KeepRunning {
        /// Its folder
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    if let Err(error) = quiet_tpm_library() {
        eprintln!("demo: {error:#}");
    }
    let Arguments { input, dir, quick, keep, command } = Arguments::parse();
    let done = match command {
        Some(Subcommands::KeepRunning { dir }) => keep::run(&dir),
        None => demonstrate(input.as_deref(), &dir, if quick { Pace::QUICK } else { Pace::DEMO }, keep),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: FAIL: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// libtss2 reads this once, from the environment that its process was started with.
fn quiet_tpm_library() -> anyhow::Result<()> {
    if std::env::var_os(TPM_LOG).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().context("where is this program?")?;
    let mut again = Command::new(own);
    Err(again.args(std::env::args_os().skip(1)).env(TPM_LOG, "all+NONE").exec()).context("starting again")
}

fn demonstrate(input: Option<&Path>, dir: &Path, pace: Pace, keep: bool) -> anyhow::Result<()> {
    make_room(dir)?;
    let input = input.map_or_else(Input::default_folder, Input::walk)?;
    println!("storing {}: {} files, {}\n", input.root.display(), input.files.len(), bytes(input.bytes()));
    let mut report = Report::new();
    let mut job = Job::new(dir, input, pace)?;
    if let Err(error) = job.run(&mut report, steps::ALL) {
        if let Some((log, tail)) = job.cluster.suspect() {
            eprintln!("\nthe end of {log}:\n{tail}");
        }
        eprintln!("\nlogs: {}", job.cluster.path("logs").display());
        return Err(error);
    }
    report.table();
    if keep {
        let folder = job.cluster.folder().to_owned();
        keep::hand_over(job.cluster).context("keeping the cluster")?;
        let folder = folder.display();
        println!("the cluster goes on running; use it:   . {folder}/env");
        println!("                                       holdfast status");
        println!("                                       holdfast files ls");
        println!("and stop it:                           {folder}/stop\n");
    }
    println!("demo: PASS");
    Ok(())
}

/// An earlier demonstration goes, anything else stays.
fn make_room(dir: &Path) -> anyhow::Result<()> {
    if dir.join("keeper.ready").exists() {
        bail!("a kept cluster runs in {}: stop it with {}/stop", dir.display(), dir.display());
    }
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    if !is_empty && !dir.join("tpm-ca").is_dir() && !dir.join("logs").is_dir() {
        bail!("{} is not empty and no demonstration's folder: give --dir another one", dir.display());
    }
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(())
}
