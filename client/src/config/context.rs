//! One context, and the names and addresses in it.

use std::{fmt, path::PathBuf, str::FromStr};

use holdfast_domain::RootHash;
use serde::{Deserialize, Serialize};

/// A cluster, and whom to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Whose credential it is.
    pub kind: ContextKind,
    /// Where the registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The pin of the cluster's root.
    pub root_hash: RootHash,
    /// The credential directory, absolute or relative to the working directory.
    pub credential: PathBuf,
}

/// Whose credential a context points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContextKind {
    /// A client of an account.
    Client,
    /// An operator of the cluster.
    Operator,
}

impl fmt::Display for ContextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Operator => "operator",
        })
    }
}

/// The name of a context: 1 to 63 of letters, digits, `.`, `_` and `-`, not beginning with `.` or `-`. Safe as a folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextName(String);

/// A text that is no [`ContextName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a context's name is 1 to 63 of letters, digits, '.', '_' and '-', and does not begin with '.' or '-'"
)]
pub struct ContextNameError;

impl ContextName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContextName {
    type Err = ContextNameError;

    fn from_str(text: &str) -> Result<Self, ContextNameError> {
        let valid = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let begins = !text.starts_with(['.', '-']);
        if valid && begins && (1..=63).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ContextNameError)
        }
    }
}

impl fmt::Display for ContextName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `host:port` of a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryAddress(String);

/// A text that is not `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not host:port")]
pub struct RegistryAddressError(String);

impl RegistryAddress {
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RegistryAddress {
    type Err = RegistryAddressError;

    fn from_str(text: &str) -> Result<Self, RegistryAddressError> {
        let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
            let host_valid =
                !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c));
            host_valid && host.len() <= 255 && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if valid { Ok(Self(text.to_owned())) } else { Err(RegistryAddressError(text.to_owned())) }
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As texts, for whoever dials.
pub(crate) fn texts(addresses: &[RegistryAddress]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
