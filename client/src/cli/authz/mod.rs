//! `holdfast authz`: who may call what, as the servers of this version decide it.

mod matrix;

use clap::Subcommand;
use holdfast_proto::declared::Declared;

use super::{failure::Failure, output::Format};

/// Descriptors of the platform and of each first-party module: everything that a cluster of this version serves.
const DESCRIPTORS: &[&[u8]] =
    &[holdfast_proto::DESCRIPTORS, holdfast_accounts_api::DESCRIPTORS, holdfast_files_api::DESCRIPTORS];

const SHOW_HELP: &str = "\
Columns are kinds of callers, as a connection's certificate proves them; PUBLIC is one without.
  yes     the method's rule lets this kind of caller in
  policy  the module's policies decide, for each account and row, on the action in POLICY
  -       refused before any of the method's code runs

A method without a rule keeps its server from starting. One that is `unfiltered` may look beyond
the rows that its caller may see, for the reason given; each time it does is audited.

Examples:
  holdfast authz show
  holdfast authz show -o json | jq -r '.methods[] | select(.callers.public == \"yes\") | .path'";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show for each method of each service which kinds of callers are let in
    ///
    /// The rules are those that this program was built with, which servers of the same version enforce. Nothing is asked of a
    /// cluster, and no configuration is needed.
    #[command(after_help = SHOW_HELP)]
    Show,
}

pub(super) fn run(format: Format, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Show => {
            let declared = Declared::read(DESCRIPTORS)?;
            format.print(|| matrix::human(&declared), || matrix::json(&declared))
        }
    }
}

#[cfg(test)]
mod tests;
