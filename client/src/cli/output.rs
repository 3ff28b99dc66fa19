//! Standard output: for people, or one JSON value for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::Value;

use super::failure::Failure;

/// The form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Format {
    /// Tables and sentences, for people.
    #[default]
    Human,
    /// One JSON value; listings of files and audit events are one value a line.
    Json,
}

impl Format {
    /// Prints a result in the form that was asked for.
    pub(super) fn print(
        self,
        human: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        match self {
            Self::Human => write_out(human().as_bytes()),
            Self::Json => write_out(format!("{}\n", json()).as_bytes()),
        }
    }
}

/// Writes to standard output.
pub(super) fn write_out(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(failed)
}

/// Writes a remark for people to standard error. That nobody reads it is no failure.
pub(super) fn remark(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Output(error),
    }
}
