//! Figures of this machine, each beside a floor or a peer that was measured in the same run.

mod cli;
mod cluster;
mod echo;
mod etcd;
mod figure;
mod measure;
mod output;
mod suite;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(&cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("holdfast-bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
