//! The configuration as it is written, before anything in it is believed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ConfigError, Context, ContextKind, ContextName, RegistryAddress};
use crate::limits::{MAX_CONTEXTS, MAX_REGISTRIES};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, RawContext>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawContext {
    kind: ContextKind,
    registries: Vec<String>,
    root_hash: String,
    credential: PathBuf,
}

impl Config {
    pub(super) fn of(config: &super::Config) -> Self {
        let super::Config { path: _, current, contexts } = config;
        let raw = |context: &Context| RawContext {
            kind: context.kind,
            registries: super::context::texts(&context.registries),
            root_hash: context.root_hash.to_string(),
            // Beside the file it stays relative, so that the folder can be moved whole.
            credential: context
                .credential
                .strip_prefix(config.dir())
                .map_or_else(|_| context.credential.clone(), Path::to_owned),
        };
        let contexts = contexts.iter().map(|(name, context)| (name.to_string(), raw(context))).collect();
        Self { current: current.as_ref().map(ToString::to_string), contexts }
    }

    pub(super) fn validate(self, path: &Path) -> Result<super::Config, ConfigError> {
        let Self { current, contexts } = self;
        if contexts.len() > MAX_CONTEXTS {
            return Err(ConfigError::TooMany(path.to_owned()));
        }
        let mut config = super::Config { path: path.to_owned(), current: None, contexts: BTreeMap::new() };
        for (name, raw) in contexts {
            let problem =
                |problem: String| ConfigError::Context { path: path.to_owned(), name: name.clone(), problem };
            let valid: ContextName =
                name.parse().map_err(|error: super::ContextNameError| problem(error.to_string()))?;
            let context = raw.validate(config.dir()).map_err(problem)?;
            config.contexts.insert(valid, context);
        }
        if let Some(name) = current {
            let unknown = |problem: &str| ConfigError::Context {
                path: path.to_owned(),
                name: name.clone(),
                problem: problem.to_owned(),
            };
            let valid = name.parse().map_err(|_| unknown("`current` is no valid name"))?;
            config
                .set_current(valid)
                .map_err(|_| unknown("`current` names a context that does not exist"))?;
        }
        Ok(config)
    }
}

impl RawContext {
    fn validate(self, dir: &Path) -> Result<Context, String> {
        let Self { kind, registries, root_hash, credential } = self;
        if registries.is_empty() || registries.len() > MAX_REGISTRIES {
            return Err(format!("registries: 1 to {MAX_REGISTRIES} addresses are needed"));
        }
        let parsed: Result<Vec<RegistryAddress>, _> = registries.iter().map(|text| text.parse()).collect();
        let registries = parsed.map_err(|error| format!("registries: {error}"))?;
        let root_hash = root_hash.parse().map_err(|error| format!("root_hash: {error}"))?;
        if credential.as_os_str().is_empty() {
            return Err("credential: a directory is needed".to_owned());
        }
        Ok(Context { kind, registries, root_hash, credential: dir.join(credential) })
    }
}
