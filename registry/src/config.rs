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
    /// How long a node may be silent before its replicas are replaced.
    pub lost_after: Duration,
}

/// A machine that restarts is back within this; copying all that it holds would take longer.
const LOST_AFTER: Duration = Duration::from_secs(600);
/// Nodes tell of themselves every two seconds; a shorter grace period would take a pause for an end.
const LEAST_LOST_AFTER: Duration = Duration::from_secs(5);

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
    /// A grace period in which nobody can restart.
    #[error("[placement] lost_after_ms is at least {}", LEAST_LOST_AFTER.as_millis())]
    LostAfter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    log: RawLog,
    consensus: Option<RawConsensus>,
    #[serde(default)]
    placement: RawPlacement,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawPlacement {
    lost_after_ms: Option<u64>,
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
            lost_after: LOST_AFTER,
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
        let Raw { log: RawLog { format, filter }, consensus, placement: RawPlacement { lost_after_ms } } =
            raw;
        let timing = consensus.map_or_else(|| Ok(Timing::default()), timing)?;
        let log_filter = filter.unwrap_or_else(|| DEFAULT_FILTER.to_owned());
        let lost_after = lost_after_ms.map_or(LOST_AFTER, Duration::from_millis);
        if lost_after < LEAST_LOST_AFTER {
            return Err(LoadError::LostAfter);
        }
        Ok(Self { log_format: format, log_filter, timing, lost_after })
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
    fn a_grace_period_is_longer_than_a_pause() {
        let text = |ms| format!("[placement]\nlost_after_ms = {ms}\n");
        assert_eq!(parse(&text(30_000)).unwrap().lost_after, Duration::from_secs(30));
        assert!(matches!(parse(&text(4_999)), Err(LoadError::LostAfter)));
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
