//! The node's configuration file: sizes and logs. Nothing in it weakens security, and an unknown key is an error.

use std::path::Path;

use holdfast_sys_core::{config::ConfigError, telemetry::LogFormat};
use serde::Deserialize;

/// Logs of the program itself; other crates only when something is wrong.
const DEFAULT_FILTER: &str = "warn,audit=info,tss_esapi=off,openraft=error,\
    holdfast_shard_node=info,holdfast_sys_core=info,holdfast_consensus=info,holdfast_enrol=info";

/// Smallest cache that is worth having.
const MIN_CACHE_MIB: u32 = 8;

/// The file's shape.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    log: Log,
    store: Store,
}

/// `[log]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    format: LogFormat,
    filter: String,
}

/// `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Store {
    cache_mib: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Human, filter: DEFAULT_FILTER.to_owned() }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { cache_mib: 32 }
    }
}

/// A configuration that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines there are.
    pub log_filter: String,
    /// Cache of the record store, bytes.
    pub cache_bytes: u64,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// Too small.
    #[error("store.cache_mib is {0}: give the store at least {MIN_CACHE_MIB} MiB")]
    Cache(u32),
}

impl Config {
    /// Loads a file, or takes the defaults where there is none.
    ///
    /// # Errors
    /// See [`NodeConfigError`].
    pub fn load(path: Option<&Path>) -> Result<Self, NodeConfigError> {
        let Raw { log, store } = path.map(holdfast_sys_core::config::load).transpose()?.unwrap_or_default();
        if store.cache_mib < MIN_CACHE_MIB {
            return Err(NodeConfigError::Cache(store.cache_mib));
        }
        Ok(Self {
            log_format: log.format,
            log_filter: log.filter,
            cache_bytes: u64::from(store.cache_mib) << 20,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, NodeConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(load("").unwrap(), Config::load(None).unwrap());
        assert_eq!(load("[store]\ncache_mib = 64\n").unwrap().cache_bytes, 64 << 20);
    }

    #[test]
    fn unknown_keys_and_useless_values_are_refused_by_name() {
        let error = load("[store]\ncache_mb = 64\n").unwrap_err();
        assert!(error.to_string().contains("cache_mb"), "{error}");
        let error = load("[store]\ncache_mib = 1\n").unwrap_err();
        assert!(error.to_string().contains("cache_mib"), "{error}");
    }
}
