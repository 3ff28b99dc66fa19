//! `holdfast module`: for authors of modules.

mod name;
mod template;
mod workspace;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{failure::Failure, output::Format};
use name::ModuleName;
use workspace::Workspace;

const NEW_HELP: &str = "\
Makes modules/NAME with one entity and five methods, whose tests pass as they are, and adds it to the
workspace and to the modules that a node serves. docs/modules/README.md walks through it.

Examples:
  holdfast module new tasks
  cargo test -p holdfast-tasks";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a new module in a checkout of Holdfast's source
    #[command(after_help = NEW_HELP)]
    New(NewArgs),
}

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Its name: a lower-case word
    name: ModuleName,
    /// The checkout
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub(super) fn run(format: Format, command: &Command) -> Result<(), Failure> {
    match command {
        Command::New(NewArgs { name, dir }) => {
            let workspace = Workspace::open(dir)?;
            let tablespace = workspace.add(name)?;
            format.print(
                || next_steps(name, tablespace),
                || serde_json::json!({ "module": name.as_str(), "folder": name.folder(), "tablespace": tablespace }),
            )
        }
    }
}

fn next_steps(name: &ModuleName, tablespace: u32) -> String {
    let folder = name.folder();
    let steps = [
        (format!("{folder}/api/holdfast/{name}/v1/{name}.proto"), "entities, and methods with their checks"),
        (format!("{folder}/src/{name}.cedar"), "who may do what"),
        (format!("{folder}/src/service.rs"), "handlers: a context in, an answer out"),
        (format!("{folder}/src/tests/matrix.txt"), "who gets how far; its test prints the new one"),
    ];
    let width = steps.iter().map(|(path, _)| path.len()).max().unwrap_or_default();
    let steps: String = steps.iter().map(|(path, what)| format!("  {path:<width$}  {what}\n")).collect();
    format!(
        "\
Made {folder}, and added it to Cargo.toml and shard-node. Its tests pass as it is:

  cargo test -p holdfast-{name}

Make it yours, in this order:

{steps}
Tablespace {tablespace} is this module's for ever, once a cluster has served it. See docs/modules/README.md.
"
    )
}

#[cfg(test)]
mod tests;
