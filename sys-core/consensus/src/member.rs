//! What the membership of a group says about each replica.

use holdfast_domain::{NodeId, SpkiHash};
use serde::{Deserialize, Serialize};

/// How a replica proves itself on the peer stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// By this very TLS key, whatever its certificate's expiry: voters of the registry.
    Key(SpkiHash),
    /// By any live certificate of its node: shard replicas, whose listener keys last an hour.
    Certificate,
}

/// One replica's node, as the group's membership (clear by design) records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The machine that holds the replica.
    pub node: NodeId,
    /// `host:port` of its peer listener.
    pub address: String,
    /// What its TLS key must be.
    pub pin: Pin,
}

/// Nobody's node; the consensus library wants a default.
impl Default for Member {
    fn default() -> Self {
        Self { node: NodeId::new([0; 16]), address: String::new(), pin: Pin::Certificate }
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.node, self.address)
    }
}
