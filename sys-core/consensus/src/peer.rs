//! Who the peers are: identities, the directory of newer descriptors, and how to reach them.
//!
//! TLS lives in another crate; what this one needs of it is behind [`PeerAuth`] and [`PeerConnector`]
//! ([`crate::TlsPeerAuth`], [`crate::TlsConnector`]).

use futures::future::BoxFuture;
use holdfast_domain::{GroupId, NodeId, ReplicaId, SpkiHash, UnixMs};

use crate::{Member, Pin};

/// A peer process by its SPIFFE path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerId {
    /// `/registry/<id>`.
    Registry(NodeId),
    /// `/node/<id>`.
    Node(NodeId),
}

impl PeerId {
    /// The identity that members of `group` have: the registry's group takes registry identities only.
    pub fn of_member(group: GroupId, node: NodeId) -> Self {
        if group == GroupId::REGISTRY { Self::Registry(node) } else { Self::Node(node) }
    }
}

impl std::fmt::Display for PeerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(node) => write!(f, "registry/{node}"),
            Self::Node(node) => write!(f, "node/{node}"),
        }
    }
}

/// What TLS proved about the other end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatedPeer {
    /// Its SPIFFE identity.
    pub id: PeerId,
    /// The hash of its TLS key.
    pub spki: SpkiHash,
    /// When its certificate ends: then it is no longer believed, unless the key itself is pinned.
    pub not_after: UnixMs,
}

/// Reads the authenticated peer out of a request.
pub trait PeerAuth: Send + Sync + 'static {
    /// `None` refuses the stream: no certificate, or one that is neither a registry's nor a node's.
    fn authenticate(&self, extensions: &tonic::Extensions) -> Option<AuthenticatedPeer>;

    /// Asked for every frame, as a stream outlives bans and certificates.
    fn still_trusted(&self, _peer: &AuthenticatedPeer) -> bool {
        true
    }
}

/// Members by a signed descriptor that is newer than what this replica's own membership says.
pub trait PeerDirectory: Send + Sync + 'static {
    /// The member behind a replica id. Asked only when the replica's membership does not have it; an implementation
    /// may take a miss as a hint to refresh.
    fn member(&self, group: GroupId, replica: ReplicaId) -> Option<Member>;
}

/// A process to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTarget {
    /// Whom the server must prove to be.
    pub id: PeerId,
    /// `host:port`.
    pub address: String,
    /// What its key must be.
    pub pin: Pin,
}

/// A peer was not reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {target}")]
pub struct ConnectError {
    /// Who.
    pub target: PeerId,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Opens authenticated channels to peers.
pub trait PeerConnector: Send + Sync + 'static {
    /// Connects and checks that the server is `target`. Called again after a failure or a lost connection.
    fn connect(
        &self,
        target: PeerTarget,
    ) -> BoxFuture<'static, Result<tonic::transport::Channel, ConnectError>>;
}
