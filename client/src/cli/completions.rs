//! `holdfast completions SHELL`.

use clap_complete::Shell;

use super::{failure::Failure, output::write_out};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  holdfast completions bash > ~/.local/share/bash-completion/completions/holdfast"
)]
pub(super) struct Args {
    /// Your shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "holdfast", &mut script);
    write_out(&script)
}
