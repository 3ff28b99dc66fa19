//! `holdfast-node`: joins a cluster and serves its shards.

use std::process::ExitCode;

use clap::Parser as _;
use holdfast_shard_node::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main(Cli::parse())
}
