//! SPIFFE identities (SPIFFE-ID 1.0) as values: `spiffe://<trust-domain>/<role>/<id>`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ClientId, NodeId, OperatorName};

/// Why a text is not one of our identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpiffeError {
    /// Over 2,048 bytes (SPIFFE-ID 1.0, 2.3).
    #[error("a SPIFFE ID has at most 2048 bytes")]
    TooLong,
    /// Not `spiffe://`.
    #[error("not a spiffe:// URI")]
    Scheme,
    /// Trust domain characters or length.
    #[error("trust domain must be 1 to 255 of a-z 0-9 . - _")]
    TrustDomain,
    /// A path that none of our roles has.
    #[error("path is none of /registry, /node, /module, /operator, /client with its id")]
    Path,
}

/// The name of a cluster's trust domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if (1..=255).contains(&text.len()) && text.bytes().all(valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpiffeError::TrustDomain)
        }
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = SpiffeError;

    fn try_from(text: String) -> Result<Self, SpiffeError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who an identity speaks for within a trust domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SpiffeSubject {
    /// A registry voter or learner.
    Registry(NodeId),
    /// A shard node.
    Node(NodeId),
    /// An instance of a module server.
    Module {
        /// The module.
        name: OperatorName,
        /// The instance.
        instance: OperatorName,
    },
    /// An operator.
    Operator(OperatorName),
    /// A client key of an account.
    Client(ClientId),
}

impl fmt::Display for SpiffeSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(id) => write!(f, "/registry/{id}"),
            Self::Node(id) => write!(f, "/node/{id}"),
            Self::Module { name, instance } => write!(f, "/module/{name}/{instance}"),
            Self::Operator(name) => write!(f, "/operator/{name}"),
            Self::Client(id) => write!(f, "/client/{id}"),
        }
    }
}

impl FromStr for SpiffeSubject {
    type Err = SpiffeError;

    fn from_str(path: &str) -> Result<Self, SpiffeError> {
        let mut parts = path.strip_prefix('/').ok_or(SpiffeError::Path)?.split('/');
        let (role, id, more) = (parts.next(), parts.next(), parts.next());
        let subject = match (role, id, more) {
            (Some("registry"), Some(id), None) => id.parse().map(Self::Registry).ok(),
            (Some("node"), Some(id), None) => id.parse().map(Self::Node).ok(),
            (Some("operator"), Some(name), None) => name.parse().map(Self::Operator).ok(),
            (Some("client"), Some(id), None) => id.parse().map(Self::Client).ok(),
            (Some("module"), Some(name), Some(instance)) => name
                .parse()
                .and_then(|name| instance.parse().map(|instance| Self::Module { name, instance }))
                .ok(),
            _ => None,
        };
        subject
            .filter(|_| parts.next().is_none() && !path.contains(|c: char| c.is_ascii_uppercase()))
            .ok_or(SpiffeError::Path)
    }
}

/// A whole SPIFFE ID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SpiffeId {
    /// The cluster's trust domain.
    pub trust_domain: TrustDomain,
    /// Who.
    pub subject: SpiffeSubject,
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}{}", self.trust_domain, self.subject)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > 2048 {
            return Err(SpiffeError::TooLong);
        }
        let rest = text.strip_prefix("spiffe://").ok_or(SpiffeError::Scheme)?;
        let slash = rest.find('/').ok_or(SpiffeError::Path)?;
        let (domain, path) = rest.split_at(slash);
        Ok(Self { trust_domain: domain.parse()?, subject: path.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_role_reads_back() {
        let id = "00112233445566778899aabbccddeeff";
        for path in ["registry", "node", "client"].map(|role| format!("/{role}/{id}")) {
            let text = format!("spiffe://prod.example{path}");
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
        for text in ["spiffe://a/operator/ann", "spiffe://a/module/files/7"] {
            assert_eq!(text.parse::<SpiffeId>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_spellings_of_an_identity_are_refused() {
        let id = "00112233445566778899AABBCCDDEEFF";
        for text in [
            format!("spiffe://a/node/{id}"),
            format!("spiffe://a/node/{}/", id.to_lowercase()),
            format!("SPIFFE://a/node/{}", id.to_lowercase()),
            format!("spiffe://A/node/{}", id.to_lowercase()),
            "spiffe://a/node".into(),
            "spiffe:///node/x".into(),
            "spiffe://a/operator/../x".into(),
        ] {
            assert!(text.parse::<SpiffeId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_the_same(text in "spiffe://[a-z.]{1,8}/(node|operator|client|module)/[a-f0-9/]{1,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
