//! `holdfast-node`: joins a cluster and serves its shards.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_shard_node::cli::{self, Cli};

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
