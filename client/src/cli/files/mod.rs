//! `holdfast files`.

mod get;
mod list;
mod put;
mod remove;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::Subcommand;
use holdfast_domain::OrgId;
use serde_json::{Value, json};

use super::{app::App, failure::Failure, progress::Bar, units::parse_span};
use crate::{
    Error,
    files::{File, FileError, FileName, Files, TreeEvent, TreeReport},
    limits::{MAX_JOBS, MAX_STALENESS},
};

const PUT: &str = "\
Names are bytes; `/` separates components. An upload that was interrupted goes on where it stopped when the command is repeated.

Examples:
  holdfast files put report.pdf                              # as report.pdf
  holdfast files put report.pdf --as reports/2026/final.pdf
  holdfast files put *.jpg --prefix photos                   # as photos/NAME
  holdfast files put -r ./site --prefix www                  # every file below ./site as www/PATH";

const GET: &str = "\
The content's hash is checked before the target is replaced. With -r, names that are no plain relative paths are refused.

Examples:
  holdfast files get reports/2026/final.pdf                  # to ./final.pdf
  holdfast files get notes.txt -O -                          # to standard output
  holdfast files get -r www ./site                           # every file under www/ to ./site/PATH
  holdfast files get -r '' ./everything";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files of this organisation [default: the account's own]
    #[arg(long, global = true, value_name = "ORG_ID")]
    home: Option<OrgId>,
    /// What is read may be this old, at most 10m: any replica answers, also while its group has no leader
    #[arg(long, global = true, value_name = "SPAN", value_parser = parse_staleness)]
    stale_ok: Option<Duration>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Upload files, replacing what had their names
    #[command(after_help = PUT)]
    Put(Put),
    /// Download files
    #[command(after_help = GET)]
    Get(Get),
    /// List files, all or those under a prefix
    #[command(
        after_help = "Names that are no printable text are shown escaped. With -o json, one object a line: name, name_hex, size, sha256, modified_ms.\n\nExamples:\n  holdfast files ls\n  holdfast files ls -l reports/2026\n  holdfast files ls --stale-ok 10s"
    )]
    Ls(Ls),
    /// Show what is known of a file
    #[command(after_help = "Example:\n  holdfast files stat reports/2026/final.pdf")]
    Stat {
        /// The file
        name: OsString,
    },
    /// Remove files
    #[command(
        after_help = "Examples:\n  holdfast files rm old.txt older.txt\n  holdfast files rm -r reports/2024"
    )]
    Rm(Rm),
    /// Show how much is stored and may be stored
    Usage,
}

#[derive(Debug, clap::Args)]
struct Put {
    /// Local files; with -r folders too
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<PathBuf>,
    /// Name of the one file that is uploaded [default: its local name]
    #[arg(long = "as", value_name = "NAME", conflicts_with_all = ["prefix", "recursive"])]
    name: Option<OsString>,
    /// Upload folders with all regular files below them; symbolic links are counted and skipped
    #[arg(short, long)]
    recursive: bool,
    /// Put before the names
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    prefix: OsString,
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Debug, clap::Args)]
struct Get {
    /// The file; with -r the prefix of names
    name: OsString,
    /// Folder for -r
    #[arg(required_if_eq("recursive", "true"))]
    dir: Option<PathBuf>,
    /// Where the file goes; `-` is standard output [default: the last component of its name, here]
    #[arg(short = 'O', long = "to", value_name = "FILE", conflicts_with_all = ["recursive", "dir"])]
    to: Option<PathBuf>,
    /// Download every file under the prefix
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Debug, clap::Args)]
struct Ls {
    /// Whole components: `a/b` lists what is under a/b/
    #[arg(default_value = "", hide_default_value = true)]
    prefix: OsString,
    /// Sizes, times and hashes too
    #[arg(short, long)]
    long: bool,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// The files; with -r prefixes
    #[arg(required = true)]
    names: Vec<OsString>,
    /// Remove every file under the prefixes
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Debug, clap::Args)]
struct Jobs {
    /// Transfers at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_JOBS)))]
    jobs: u16,
}

pub(super) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let Args { home, stale_ok, command } = args;
    let at = Place { app, home, stale_ok };
    match command {
        Command::Put(args) => put::run(&at, args).await,
        Command::Get(args) => get::run(&at, args).await,
        Command::Ls(args) => list::run(&at, args).await,
        Command::Stat { name } => list::stat(&at, name).await,
        Command::Rm(args) => remove::run(&at, args).await,
        Command::Usage => list::usage(&at).await,
    }
}

/// Whose files a command is about.
struct Place<'a> {
    app: &'a App,
    home: Option<OrgId>,
    stale_ok: Option<Duration>,
}

impl Place<'_> {
    async fn files(&self) -> Result<Files, Failure> {
        let client = self.app.client().await?;
        let files = self.home.map_or_else(|| client.files(), |org| client.files_of(org.into()));
        Ok(files.stale_ok(self.stale_ok.unwrap_or_default()))
    }
}

fn parse_staleness(text: &str) -> Result<Duration, String> {
    match parse_span(text)? {
        span if span > MAX_STALENESS => Err("nothing older than 10m is shown".to_owned()),
        span => Ok(span),
    }
}

/// A name from the command line.
fn name_of(text: OsString) -> Result<FileName, Failure> {
    let shown = text.to_string_lossy().into_owned();
    let bad = |source| Failure::from(Error::from(FileError::Name { name: shown, source }));
    FileName::from_os(text).map_err(bad)
}

/// The stable form of a file in JSON. Names are bytes: `name_hex` is exact, `name` is for reading.
fn file_json(file: &File) -> Value {
    let File { name, size, sha256, modified } = file;
    json!({
        "name": name.to_string(),
        "name_hex": hex::encode(name.as_bytes()),
        "size": size,
        "sha256": sha256.to_string(),
        "modified_ms": modified.0,
    })
}

/// Says what happened to single files while the others go on.
fn on_event(bar: &Bar) -> impl Fn(&TreeEvent) + Send + Sync {
    move |event| match event {
        TreeEvent::Done(file) => bar.file(file.size),
        TreeEvent::Failed { what, error } => {
            bar.say(&format!("failed: {what}: {}", holdfast_domain::causes(error)))
        }
        TreeEvent::Symlink(path) => tracing::info!(path = %path.display(), "symbolic link skipped"),
        TreeEvent::Special(path) => bar.say(&format!("skipped, not a regular file: {}", path.display())),
    }
}

fn add(all: &mut TreeReport, one: TreeReport) {
    let TreeReport { files, bytes, failed, symlinks, special } = one;
    all.files += files;
    all.bytes = all.bytes.saturating_add(bytes);
    all.failed += failed;
    all.symlinks += symlinks;
    all.special += special;
}

/// Prints what became of a tree; failed files fail the command.
fn finish(app: &App, verb: &str, report: TreeReport) -> Result<(), Failure> {
    let TreeReport { files, bytes, failed, symlinks, special } = report;
    let human = || {
        let mut text = format!("{files} files, {} {verb}", super::units::show_size(bytes));
        if symlinks > 0 {
            text.push_str(&format!(", {symlinks} symbolic links skipped"));
        }
        if special > 0 {
            text.push_str(&format!(", {special} special files skipped"));
        }
        text + "\n"
    };
    let json = || {
        json!({
            "files": files, "bytes": bytes, "failed": failed, "symlinks_skipped": symlinks, "special_skipped": special,
        })
    };
    app.output.print(human, json)?;
    if failed > 0 { Err(Failure::Partly { failed, all: files + failed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{Sha256Hash, UnixMs};

    use super::*;

    #[test]
    fn the_json_of_a_file_keeps_its_keys_and_exact_name() {
        let file = File {
            name: FileName::new(b"a\xff".to_vec()).unwrap(),
            size: 3,
            sha256: Sha256Hash::new([0; 32]),
            modified: UnixMs(5),
        };
        let expected = json!({
            "name": "a\\xff", "name_hex": "61ff", "size": 3, "sha256": "00".repeat(32), "modified_ms": 5,
        });
        assert_eq!(file_json(&file), expected);
    }
}
