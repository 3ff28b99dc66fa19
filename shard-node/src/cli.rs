//! The command line.

mod ek;
mod join;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use holdfast_sys_core::telemetry;

use crate::{config::Config, run};

/// Serves shards of a Holdfast cluster.
///
/// A node joins once and runs from then on:
///
///   holdfast-node ek --tpm device:/dev/tpmrm0        print the EK, for the operator to admit
///   holdfast-node join --data /var/lib/holdfast --registry reg1:7000 --root-hash HASH --listen 0.0.0.0:7100
///   holdfast-node run --data /var/lib/holdfast
#[derive(Parser)]
#[command(name = "holdfast-node", version, verbatim_doc_comment)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Join a cluster with a TPM attestation and make the data folder.
    Join(join::Join),
    /// Serve, from a data folder that `join` made.
    Run {
        /// The data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Configuration file (TOML); without it the defaults.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print this machine's EK hash, by which operators admit it.
    Ek(ek::Ek),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs a command; the exit code is 0 or 1.
pub fn main(cli: Cli) -> ExitCode {
    match act(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut std::io::stderr(), &format!("holdfast-node: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn act(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run { data, config } => {
            let config = Config::load(config.as_deref())?;
            telemetry::init(config.log_format, &config.log_filter)?;
            runtime()?.block_on(run::run(&data, &config))
        }
        Command::Join(join) => runtime()?.block_on(join.run()),
        Command::Ek(ek) => runtime()?.block_on(ek.run()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "holdfast-node", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Prints a line; a closed pipe is no error of ours.
fn say(out: &mut dyn std::io::Write, line: &str) {
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// Prints a line on standard output.
fn print(line: &str) {
    say(&mut std::io::stdout(), line);
}
