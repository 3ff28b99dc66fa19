//! The configuration file: named contexts, each a cluster and a credential directory. It holds no secrets.
//!
//! ```toml
//! current = "client"
//!
//! [contexts.client]
//! kind = "client"
//! registries = ["registry-1.example:7000", "registry-2.example:7000"]
//! root_hash = "5f0c4e6a1d..."          # 64 hex digits: SHA-256 of the cluster's root certificate
//! credential = "client"                # relative to this file, or absolute
//! ```

mod context;
mod raw;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use context::{
    Context, ContextKind, ContextName, ContextNameError, RegistryAddress, RegistryAddressError,
};

use crate::{
    limits::{MAX_CONFIG_BYTES, MAX_CONTEXTS},
    storage::{self, StorageError},
};

/// The validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    path: PathBuf,
    current: Option<ContextName>,
    contexts: BTreeMap<ContextName, Context>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Not TOML, or with keys that do not exist.
    #[error("{} is not a valid configuration", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// One context is wrong.
    #[error("{}: contexts.{name}: {problem}", path.display())]
    Context {
        /// The file.
        path: PathBuf,
        /// The context.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Over [`MAX_CONTEXTS`].
    #[error("{} has more than {MAX_CONTEXTS} contexts", .0.display())]
    TooMany(PathBuf),
    /// There is no such context.
    #[error("{} has no context {name:?}; it has: {known}", path.display())]
    NoSuchContext {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// No context was named and none is the obvious one.
    #[error("{} has no {kind} context to use", path.display())]
    NoContext {
        /// The file.
        path: PathBuf,
        /// What is needed.
        kind: ContextKind,
    },
    /// Several contexts would do.
    #[error("{} has several {kind} contexts ({known}): choose one with --context", path.display())]
    Ambiguous {
        /// The file.
        path: PathBuf,
        /// What is needed.
        kind: ContextKind,
        /// The names that would do.
        known: String,
    },
    /// The context is for something else.
    #[error("context {name:?} is a {actual}'s; this needs a {needed}'s")]
    Kind {
        /// The context.
        name: ContextName,
        /// What is needed.
        needed: ContextKind,
        /// What it is.
        actual: ContextKind,
    },
    /// The configuration has no TOML form.
    #[error("the configuration cannot be written as TOML")]
    Unwritable(#[source] toml::ser::Error),
}

impl Config {
    /// Reads a configuration; a file that does not exist is an empty one.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = storage::read_optional(path, MAX_CONFIG_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let parsed = toml::from_str::<raw::Config>(&text);
        let raw =
            parsed.map_err(|error| ConfigError::Syntax { path: path.to_owned(), source: Box::new(error) })?;
        raw.validate(path)
    }

    /// Writes it back, replacing the file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn save(&self) -> Result<(), ConfigError> {
        let text = toml::to_string(&raw::Config::of(self)).map_err(ConfigError::Unwritable)?;
        storage::make_private_dir(self.dir())?;
        Ok(storage::write(&self.path, text.as_bytes())?)
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the file: credential directories are beside it unless a context says otherwise.
    pub fn dir(&self) -> &Path {
        self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// The context that is used when none is named.
    pub fn current(&self) -> Option<&ContextName> {
        self.current.as_ref()
    }

    /// All contexts by name.
    pub fn contexts(&self) -> &BTreeMap<ContextName, Context> {
        &self.contexts
    }

    /// Adds or replaces a context; the first one becomes the current one.
    ///
    /// # Errors
    /// [`ConfigError::TooMany`].
    pub fn put(&mut self, name: ContextName, context: Context) -> Result<(), ConfigError> {
        if self.contexts.len() >= MAX_CONTEXTS && !self.contexts.contains_key(&name) {
            return Err(ConfigError::TooMany(self.path.clone()));
        }
        self.current.get_or_insert_with(|| name.clone());
        self.contexts.insert(name, context);
        Ok(())
    }

    /// Makes a context the current one.
    ///
    /// # Errors
    /// [`ConfigError::NoSuchContext`].
    pub fn set_current(&mut self, name: ContextName) -> Result<(), ConfigError> {
        self.named(&name)?;
        self.current = Some(name);
        Ok(())
    }

    /// The context to use: the named one, else the current one if it fits, else the only one that fits.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn select(
        &self,
        name: Option<&ContextName>,
        needed: ContextKind,
    ) -> Result<(&ContextName, &Context), ConfigError> {
        if let Some(name) = name {
            let (name, context) = self.named(name)?;
            let actual = context.kind;
            let wrong = || ConfigError::Kind { name: name.clone(), needed, actual };
            return (actual == needed).then_some((name, context)).ok_or_else(wrong);
        }
        let fitting: Vec<_> = self.contexts.iter().filter(|(_, context)| context.kind == needed).collect();
        let current = fitting.iter().find(|(name, _)| Some(*name) == self.current.as_ref());
        match (current, fitting.as_slice()) {
            (Some(found), _) | (None, [found]) => Ok(*found),
            (None, []) => Err(ConfigError::NoContext { path: self.path.clone(), kind: needed }),
            (None, several) => Err(ConfigError::Ambiguous {
                path: self.path.clone(),
                kind: needed,
                known: list(several.iter().map(|(name, _)| *name)),
            }),
        }
    }

    fn named(&self, name: &ContextName) -> Result<(&ContextName, &Context), ConfigError> {
        self.contexts.get_key_value(name).ok_or_else(|| ConfigError::NoSuchContext {
            path: self.path.clone(),
            name: name.to_string(),
            known: list(self.contexts.keys()),
        })
    }
}

fn list<'a>(names: impl Iterator<Item = &'a ContextName>) -> String {
    let names: Vec<_> = names.map(ContextName::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
