//! Logs: structured lines on standard error, audit events among them under the target `audit`.
//!
//! No secret is ever a field: key types have no `Debug`, and requests and replies are not logged.

use std::{fmt, io::IsTerminal as _, str::FromStr};

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The environment variable that overrides the filter.
pub const FILTER_VARIABLE: &str = "HOLDFAST_LOG";

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// A filter that is none.
    #[error(
        "the log filter {filter:?} is not valid: use directives such as \"info,holdfast_registry=debug\""
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Called twice.
    #[error("logging is set up already")]
    Twice,
}

impl FromStr for LogFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// A text that names no format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log format is \"human\" or \"json\"")]
pub struct UnknownFormat;

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// Sets up logging for the process: `filter` unless the environment says otherwise. A panic is logged by its place only, as its text may
/// hold what a log must not.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = std::env::var(FILTER_VARIABLE).unwrap_or_else(|_| filter.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| TelemetryError::Filter { filter, source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    // Colours are for terminals: in a file or a journal they are noise.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(|_| TelemetryError::Twice)?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic");
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_read_back_and_others_are_refused() {
        for format in [LogFormat::Human, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("JSON".parse::<LogFormat>().is_err());
    }

    #[test]
    fn a_bad_filter_is_an_error_that_shows_it() {
        let error = init(LogFormat::Human, "a=b=c").unwrap_err();
        assert!(error.to_string().contains("a=b=c"), "{error}");
    }
}
