//! `holdfast-chaos`: breaks a cluster under load for as long as asked, and judges what its clients saw.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever runs it")]

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::Context as _;
use clap::Parser;
use holdfast_faults::{draw, network};
use holdfast_integration_tests::{
    chaos::{
        Plan,
        run::{Run, Until, run},
        scenarios,
    },
    wait,
};
use tokio::signal::unix::{SignalKind, signal};

/// Switches libtss2's own log off.
const TPM_LOG: &str = "TSS2_LOG";
/// How long an interrupted run may take to end in order. What it may wait for, a call of a client above all, takes longer.
const END: Duration = Duration::from_secs(5);
/// What shells say of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Breaks a cluster under load: kills, pauses, partitions, disks, clocks, moves. Needs root for the partitions.
#[derive(Debug, Parser)]
#[command(name = "holdfast-chaos", version)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// All choices come from it [default: one of the moment]
    #[arg(long)]
    seed: Option<u64>,
    /// Only these scenarios
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Folder of the cluster, made anew
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    dir: PathBuf,
    /// Say which scenarios there are
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    if let Err(error) = quiet_tpm_library() {
        eprintln!("chaos: {error:#}");
    }
    let arguments = Arguments::parse();
    if arguments.list {
        scenarios::ALL.iter().for_each(|scenario| println!("{:16} {}", scenario.name, scenario.what));
        return ExitCode::SUCCESS;
    }
    match chaos(&arguments) {
        Ok(()) => {
            println!("chaos: PASS");
            ExitCode::SUCCESS
        }
        Err(_) if wait::go_on().is_err() => {
            eprintln!("chaos: interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("chaos: FAIL: {error:#}");
            eprintln!("logs: {}", arguments.dir.join("logs").display());
            ExitCode::FAILURE
        }
    }
}

fn chaos(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { minutes, seed, only, dir, list: _ } = arguments;
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    end_in_order_on_signals()?;
    run(&Run {
        folder: dir,
        plan: Plan::LONG,
        seed: seed.unwrap_or_else(draw::seed),
        until: Until::Time(Duration::from_secs(minutes.saturating_mul(60))),
        only,
    })
}

/// So that processes, namespaces and links go away with us.
fn end_in_order_on_signals() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let mut signals = {
        let _inside = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .map(|kind| signal(kind).map_err(anyhow::Error::from))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()
            .context("listening for signals")?
    };
    std::thread::spawn(move || {
        runtime
            .block_on(futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))));
        wait::interrupt();
        std::thread::sleep(END);
        // Processes go with their parent.
        network::remove_own();
        eprintln!("chaos: interrupted");
        std::process::exit(INTERRUPTED.into());
    });
    Ok(())
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
