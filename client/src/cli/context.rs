//! `holdfast context`.

use clap::Subcommand;
use serde_json::json;

use super::{app::App, failure::Failure, table::Table};
use crate::{Error, config::ContextName};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show all contexts; a star marks the current one
    List,
    /// Make a context the current one
    #[command(after_help = "Example:\n  holdfast context use staging")]
    Use {
        /// Its name
        name: ContextName,
    },
}

pub(super) fn run(mut app: App, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => list(&app),
        Command::Use { name } => {
            app.config.set_current(name.clone()).map_err(Error::from)?;
            app.config.save().map_err(Error::from)?;
            app.output
                .print(|| format!("The current context is {name}.\n"), || json!({ "current": name.as_str() }))
        }
    }
}

fn list(app: &App) -> Result<(), Failure> {
    let config = &app.config;
    let is_current = |name: &ContextName| config.current() == Some(name);
    let human = || {
        let mut table = Table::new(&["", "NAME", "KIND", "REGISTRIES", "CREDENTIAL"]);
        for (name, context) in config.contexts() {
            let registries: Vec<_> = context.registries.iter().map(ToString::to_string).collect();
            table.row([
                if is_current(name) { "*" } else { "" }.to_owned(),
                name.to_string(),
                context.kind.to_string(),
                registries.join(","),
                context.credential.display().to_string(),
            ]);
        }
        table.render()
    };
    let json = || {
        let contexts: Vec<_> = config
            .contexts()
            .iter()
            .map(|(name, context)| {
                json!({
                    "name": name.as_str(),
                    "current": is_current(name),
                    "kind": context.kind,
                    "registries": context.registries.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "root_hash": context.root_hash.to_string(),
                    "credential": context.credential,
                })
            })
            .collect();
        json!({ "file": config.path(), "contexts": contexts })
    };
    app.output.print(human, json)
}
