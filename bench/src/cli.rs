//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};

use crate::{
    echo,
    figure::Figure,
    output,
    suite::{self, Part, Setting},
};

/// Measures Holdfast on this machine, each figure beside a floor or a peer of the same run.
///
///   holdfast-bench                       everything; writes bench/results/latest.json
///   holdfast-bench --only sealing joins  these parts; prints them and writes nothing
///   holdfast-bench --seconds 10          longer, and so steadier
#[derive(Parser)]
#[command(name = "holdfast-bench", version, verbatim_doc_comment)]
pub(crate) struct Cli {
    /// Only these parts (see --list).
    #[arg(long, value_name = "PART", num_args = 1..)]
    only: Vec<String>,
    /// How long each measurement goes on.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// How many clients at once, for the parts that load the cluster with several numbers of them.
    #[arg(long, value_name = "N", num_args = 1.., value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: Vec<u16>,
    /// Name the parts and end.
    #[arg(long)]
    list: bool,
    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Where to write the figures.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Keep all that is written to disk below this folder: it decides which disk is measured.
    #[arg(long, value_name = "DIR", default_value = "target")]
    folder: PathBuf,
    /// Serve the bare echo until killed: the process that nodes and registries are compared with.
    #[arg(long, hide = true)]
    serve_echo: bool,
}

/// How figures are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What the programs log when nobody configures anything.
const PRODUCTION_FILTER: &str = "warn,audit=info,tss_esapi=off,openraft=error";

const RESULTS: &str = "bench/results/latest.json";

/// Does what was asked.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<()> {
    if cli.serve_echo {
        return echo::serve_alone();
    }
    if cli.list {
        return suite::PARTS
            .iter()
            .try_for_each(|part| output::print(&format!("{:<14} {}", part.name, part.about)));
    }
    let parts = chosen(&cli.only)?;
    silent_logs()?;
    let clients = cli.clients.iter().copied().map(usize::from).collect();
    let mut setting = Setting::new(Duration::from_secs(cli.seconds), clients, &cli.folder)?;
    let figures = measure(&parts, &mut setting, cli.output)?;
    if cli.output == Output::Json {
        output::json(&figures)?;
    }
    let everything = cli.only.is_empty().then(|| PathBuf::from(RESULTS));
    if let Some(path) = cli.results.clone().or(everything) {
        output::write(&path, &figures)?;
        output::complain(&format!("{} figures written to {}", figures.len(), path.display()));
    }
    Ok(())
}

fn measure(parts: &[&Part], setting: &mut Setting, output: Output) -> anyhow::Result<Vec<Figure>> {
    if output == Output::Table {
        output::heading()?;
    }
    let mut all = Vec::new();
    for part in parts {
        let figures = (part.run)(setting).map_err(|error| error.context(part.name))?;
        if output == Output::Table {
            figures.iter().try_for_each(output::row)?;
        }
        all.extend(figures);
    }
    Ok(all)
}

fn chosen(only: &[String]) -> anyhow::Result<Vec<&'static Part>> {
    let unknown = only.iter().find(|name| suite::PARTS.iter().all(|part| part.name != name.as_str()));
    if let Some(name) = unknown {
        anyhow::bail!("there is no part {name:?}: --list names them");
    }
    let named = |part: &Part| only.iter().any(|name| name == part.name);
    let wanted = |part: &&Part| if only.is_empty() { part.by_default } else { named(part) };
    Ok(suite::PARTS.iter().filter(wanted).collect())
}

/// Logs as in production, down to the formatting, but written nowhere: the guard's audit events are part of each call.
fn silent_logs() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(PRODUCTION_FILTER)
        .with_writer(std::io::sink)
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("setting up logs: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_unknown_parts_are_named() {
        Cli::command().debug_assert();
        let by_default = suite::PARTS.iter().filter(|part| part.by_default).count();
        assert_eq!(chosen(&[]).unwrap().len(), by_default);
        assert_eq!(chosen(&["etcd".to_owned()]).unwrap().len(), 1);
        assert!(chosen(&["nonsense".to_owned()]).unwrap_err().to_string().contains("nonsense"));
    }
}
