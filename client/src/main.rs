//! `holdfast`: the command line of clients and operators.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_client::cli::main(std::env::args_os())
}
