//! `operator.toml` and `client.toml`: the public part of a credential.

use holdfast_domain::{AccountId, ClientId, ClusterId, OperatorName, RootHash, TrustDomain};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{config::RegistryAddress, limits::MAX_REGISTRIES};

/// The only version so far.
const VERSION: u32 = 1;

/// What `operator.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorDescription {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// The pin of its root.
    pub root_hash: RootHash,
    /// Where its registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The operator.
    pub name: OperatorName,
}

/// What `client.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientDescription {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// The pin of its root.
    pub root_hash: RootHash,
    /// Where its registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The account.
    pub account: AccountId,
    /// This client of it.
    pub client: ClientId,
}

/// Both files as they are written; each has its own last keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOperator {
    version: u32,
    cluster: String,
    trust_domain: String,
    root_hash: String,
    registries: Vec<String>,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    version: u32,
    cluster: String,
    trust_domain: String,
    root_hash: String,
    registries: Vec<String>,
    account: String,
    client: String,
}

/// A key and what is wrong with its value, or a syntax error.
pub(super) type Problem = String;

impl OperatorDescription {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let raw: RawOperator = parse_toml(text)?;
        let RawOperator { version, cluster, trust_domain, root_hash, registries, name } = raw;
        check_version(version)?;
        Ok(Self {
            cluster: value("cluster", &cluster)?,
            trust_domain: value("trust_domain", &trust_domain)?,
            root_hash: value("root_hash", &root_hash)?,
            registries: addresses(&registries)?,
            name: value("name", &name)?,
        })
    }

    /// The file's text.
    ///
    /// # Errors
    /// Never for these values; the encoder's signature has one.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let Self { cluster, trust_domain, root_hash, registries, name } = self;
        toml::to_string(&RawOperator {
            version: VERSION,
            cluster: cluster.to_string(),
            trust_domain: trust_domain.to_string(),
            root_hash: root_hash.to_string(),
            registries: registries.iter().map(ToString::to_string).collect(),
            name: name.to_string(),
        })
    }
}

impl ClientDescription {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let raw: RawClient = parse_toml(text)?;
        let RawClient { version, cluster, trust_domain, root_hash, registries, account, client } = raw;
        check_version(version)?;
        Ok(Self {
            cluster: value("cluster", &cluster)?,
            trust_domain: value("trust_domain", &trust_domain)?,
            root_hash: value("root_hash", &root_hash)?,
            registries: addresses(&registries)?,
            account: value("account", &account)?,
            client: value("client", &client)?,
        })
    }

    pub(super) fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let Self { cluster, trust_domain, root_hash, registries, account, client } = self;
        toml::to_string(&RawClient {
            version: VERSION,
            cluster: cluster.to_string(),
            trust_domain: trust_domain.to_string(),
            root_hash: root_hash.to_string(),
            registries: registries.iter().map(ToString::to_string).collect(),
            account: account.to_string(),
            client: client.to_string(),
        })
    }
}

fn parse_toml<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn check_version(version: u32) -> Result<(), Problem> {
    let unknown = || format!("version {version} is unknown to this program");
    (version == VERSION).then_some(()).ok_or_else(unknown)
}

fn value<T: std::str::FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| format!("{key}: {error}"))
}

fn addresses(texts: &[String]) -> Result<Vec<RegistryAddress>, Problem> {
    if texts.is_empty() || texts.len() > MAX_REGISTRIES {
        return Err(format!("registries: 1 to {MAX_REGISTRIES} addresses are needed"));
    }
    texts.iter().map(|text| value("registries", text)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPERATOR: &str = r#"
        version = 1
        cluster = "00112233445566778899aabbccddeeff"
        trust_domain = "holdfast.local"
        root_hash = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
        registries = ["127.0.0.1:7000"]
        name = "admin"
    "#;

    #[test]
    fn an_operators_description_reads_back() {
        let description = OperatorDescription::parse(OPERATOR).unwrap();
        assert_eq!(OperatorDescription::parse(&description.to_toml().unwrap()), Ok(description));
    }

    #[test]
    fn unknown_keys_versions_and_bad_values_are_named() {
        for (from, to, named) in [
            ("version = 1", "version = 2", "version 2"),
            ("name = \"admin\"", "name = \"admin\"\ncolour = 1", "colour"),
            ("\"admin\"", "\"Ann Smith\"", "name"),
            ("127.0.0.1:7000", "127.0.0.1", "registries"),
        ] {
            let problem = OperatorDescription::parse(&OPERATOR.replace(from, to)).unwrap_err();
            assert!(problem.contains(named), "{problem}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = OperatorDescription::parse(&text);
            let _ = ClientDescription::parse(&text);
        }
    }
}
