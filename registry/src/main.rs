//! The `holdfast-registry` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_registry::cli::main()
}
