//! Credential directories: who a client or an operator is, on disk. The one place that knows their layout.
//!
//! A directory has mode 0700 and every file in it 0600; a file that others can reach is refused before it is read.
//!
//! | operator | client | content |
//! |---|---|---|
//! | `operator.toml` | `client.toml` | cluster, trust domain, root pin, registries, and the name or the ids |
//! | `operator.key` | `client.key` | the private key, PKCS#8 PEM: P-256 of an operator, Ed25519 of a client |
//! | `operator.chain` | `client.chain` | the certificate chain, `domain::codec` of a `CertChain`; rewritten on renewal |
//! | `pcr-policy.key` | | P-256, PKCS#8 PEM: approves boot states; an operator need not have it |
//! | `genesis`, `root.der` | the same | `domain::codec` of the signed genesis record; the root certificate |
//! | `map` | the same | newest shard map seen: a cache, verified again at each start |
//! | `voters` | the same | addresses of the registry's members as last seen: a cache, known before those of the context |
//! | | `uploads/` | ids of unfinished uploads |

mod client;
mod description;
mod directory;
mod operator;

pub use client::ClientCredential;
pub(crate) use client::NewClientCredential;
pub use description::{ClientDescription, OperatorDescription};
pub use directory::CredentialError;
pub(crate) use directory::chain_of;
pub use operator::OperatorCredential;
