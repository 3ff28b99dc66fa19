//! Configuration files. Every error names the file, the place and the way out.
//!
//! Types that are loaded here derive `Deserialize` with `deny_unknown_fields`: a mistyped key must not be a default.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use crate::limits::MAX_CONFIG_BYTES;

/// Why a configuration is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: cannot be read: check that the path is right and that this user may read it")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no configuration.
    #[error("{path}: larger than {MAX_CONFIG_BYTES} bytes: this is not a configuration file")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A key or value is wrong.
    #[error("{path}, line {line}, {key}: {message}. Correct it or remove it; the reference lists every key")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// What stands there.
        key: String,
        /// What is wrong.
        message: String,
    },
}

/// Loads a TOML file.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read_error)?;
    let mut text = String::new();
    file.take(MAX_CONFIG_BYTES + 1).read_to_string(&mut text).map_err(read_error)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_CONFIG_BYTES) {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    parse(path, &text)
}

/// Reads a configuration from text; `path` is for errors.
///
/// # Errors
/// [`ConfigError::Invalid`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count();
        let place = text.lines().nth(line).unwrap_or_default();
        // The key only: what stands behind it may be private.
        let key = place.split('=').next().unwrap_or_default().trim();
        let key = if key.is_empty() { "top level".to_owned() } else { format!("key `{key}`") };
        let message = error.message().to_owned();
        ConfigError::Invalid { path: path.to_owned(), line: line + 1, key, message }
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        listen: String,
        #[expect(dead_code, reason = "only its presence matters")]
        limits: Limits,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        #[expect(dead_code, reason = "only its presence matters")]
        streams: u32,
    }

    fn error(text: &str) -> String {
        parse::<Example>(Path::new("node.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_file_line_key_and_way_out_but_no_value() {
        let text = error("listen = \"x\"\n[limits]\nstreams = 1\nstreems = \"hunter2\"\n");
        for part in ["node.toml, line 4", "key `streems`", "unknown field", "expected `streams`", "remove it"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("hunter2"));
        assert!(error("listen = \"x\"\n[limits]\nstreams = -1\n").contains("line 3, key `streams`"));
        assert!(error("[limits]\nstreams = 1\n").contains("missing field `listen`"));
    }

    #[test]
    fn a_file_loads_and_a_missing_or_huge_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.toml");
        assert!(load::<Example>(&path).unwrap_err().to_string().contains("node.toml"));
        fs::write(&path, "listen = \"x\"\n[limits]\nstreams = 1\n").unwrap();
        assert_eq!(load::<Example>(&path).unwrap().listen, "x");
        fs::write(&path, "#".repeat(usize::try_from(MAX_CONFIG_BYTES).unwrap() + 1)).unwrap();
        assert!(matches!(load::<Example>(&path), Err(ConfigError::TooLarge { .. })));
    }
}
