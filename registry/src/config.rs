//! The optional configuration file of `run`. What identifies a member is in its data folder, not here.

use std::{path::Path, time::Duration};

use holdfast_consensus::{Timing, TimingError};
use holdfast_sys_core::{
    config::{self, ConfigError},
    telemetry::LogFormat,
};
use serde::Deserialize;

/// Logs of the program itself; other crates only when something is wrong.
pub const DEFAULT_FILTER: &str = "warn,holdfast=info,audit=info,tss_esapi=off,openraft=error,\
    holdfast_registry=info,holdfast_sys_core=info,holdfast_consensus=info,holdfast_enrol=info";

/// Checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which are written.
    pub log_filter: String,
    /// Heartbeats and elections.
    pub timing: Timing,
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Times that do not fit together.
    #[error("[consensus]")]
    Timing(#[from] TimingError),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    log: RawLog,
    consensus: Option<RawConsensus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: LogFormat,
    filter: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsensus {
    heartbeat_ms: u64,
    election_min_ms: u64,
    election_max_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_format: LogFormat::default(),
            log_filter: DEFAULT_FILTER.to_owned(),
            timing: Timing::default(),
        }
    }
}

impl Config {
    /// Loads the file, or takes the defaults without one.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        path.map_or_else(|| Ok(Self::default()), |path| Self::check(config::load(path)?))
    }

    fn check(raw: Raw) -> Result<Self, LoadError> {
        let Raw { log: RawLog { format, filter }, consensus } = raw;
        let timing = consensus.map_or_else(|| Ok(Timing::default()), timing)?;
        let log_filter = filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
        Ok(Self { log_format: format, log_filter, timing })
    }
}

fn timing(raw: RawConsensus) -> Result<Timing, TimingError> {
    let RawConsensus { heartbeat_ms, election_min_ms, election_max_ms } = raw;
    let ms = Duration::from_millis;
    Timing::new(ms(heartbeat_ms), ms(election_min_ms), ms(election_max_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, LoadError> {
        Config::check(config::parse(Path::new("registry.toml"), text)?)
    }

    #[test]
    fn an_empty_file_is_the_default_and_a_mistyped_key_an_error() {
        assert_eq!(parse("").unwrap().log_filter, DEFAULT_FILTER);
        assert!(parse("[log]\nformat = \"json\"\n").is_ok());
        assert!(parse("[log]\nformt = \"json\"\n").is_err());
        assert!(parse("lisen = 1").is_err());
    }

    #[test]
    fn times_that_elect_leaders_for_nothing_are_refused() {
        let text = |heartbeat| {
            format!(
                "[consensus]\nheartbeat_ms = {heartbeat}\nelection_min_ms = 600\nelection_max_ms = 1200\n"
            )
        };
        assert!(parse(&text(150)).is_ok());
        assert!(parse(&text(500)).is_err());
    }
}
