//! Configuration files and the permissions of what they point to. Every error names the file, the place and the way out.
//!
//! Types that are loaded here derive `Deserialize` with `deny_unknown_fields`: a mistyped key must not be a default.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
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

/// Why a folder or a secret's file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PermissionError {
    /// It cannot be looked at.
    #[error("{path}: cannot be opened: check that it exists and that this user may use it")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something else is there.
    #[error("{path} is not a {expected}: point the configuration to one")]
    Kind {
        /// Which.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// It belongs to another user, who could change it.
    #[error("{path} belongs to user {owner}, not to user {user} that runs this program: chown {user} {path}")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// We.
        user: u32,
    },
    /// Others may look or write.
    #[error("{path} has mode {mode:04o}, so that other users reach it: chmod {wanted:04o} {path}")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// What it should be.
        wanted: u32,
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

/// Checks that a data folder is a folder that this user owns and nobody else may enter.
///
/// # Errors
/// See [`PermissionError`].
pub fn check_data_folder(path: &Path) -> Result<(), PermissionError> {
    check(path, "folder", Metadata::is_dir, 0o700)
}

/// Checks that a secret's file is a file that this user owns and nobody else may read.
///
/// # Errors
/// See [`PermissionError`].
pub fn check_secret_file(path: &Path) -> Result<(), PermissionError> {
    check(path, "file", Metadata::is_file, 0o600)
}

fn check(
    path: &Path,
    expected: &'static str,
    is_expected: fn(&Metadata) -> bool,
    wanted: u32,
) -> Result<(), PermissionError> {
    let path = path.to_owned();
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(source) => return Err(PermissionError::Open { path, source }),
    };
    if !is_expected(&found) {
        return Err(PermissionError::Kind { path, expected });
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return Err(PermissionError::Owner { path, owner: found.uid(), user });
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PermissionError::Mode { path, mode, wanted });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_others_may_reach_is_refused_with_the_command_that_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&file, 0o640);
        let text = check_secret_file(&file).unwrap_err().to_string();
        assert!(text.contains("chmod 0600") && text.contains("0640"), "{text}");
        mode(&file, 0o400);
        check_secret_file(&file).unwrap();
        mode(folder.path(), 0o755);
        assert!(check_data_folder(folder.path()).unwrap_err().to_string().contains("chmod 0700"));
        mode(folder.path(), 0o700);
        check_data_folder(folder.path()).unwrap();
        assert!(matches!(check_data_folder(&file), Err(PermissionError::Kind { .. })));
        assert!(matches!(check_secret_file(folder.path()), Err(PermissionError::Kind { .. })));
        assert!(matches!(check_secret_file(&file.join("x")), Err(PermissionError::Open { .. })));
    }
}
