//! Peers over mutual TLS: what [`PeerConnector`] and [`PeerAuth`] are in production.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use holdfast_certs::{Dialer, ExpectedServer, Peer};
use holdfast_domain::{NodeId, SpiffeSubject};
use tonic::transport::Channel;

use crate::{AuthenticatedPeer, ConnectError, PeerAuth, PeerConnector, PeerId, PeerTarget, Pin};

/// Dials peers with the process's own identity.
pub struct TlsConnector(Dialer);

impl TlsConnector {
    /// Dials with this dialer's identity and trust.
    pub const fn new(dialer: Dialer) -> Self {
        Self(dialer)
    }
}

impl PeerConnector for TlsConnector {
    fn connect(&self, target: PeerTarget) -> BoxFuture<'static, Result<Channel, ConnectError>> {
        let dialer = self.0.clone();
        async move {
            let PeerTarget { id, address, pin } = target;
            let failed = |source| ConnectError { target: id, source };
            let dialed =
                dialer.connect(&address, &expected(id, pin)).await.map_err(|error| failed(error.into()))?;
            match pin {
                Pin::Key(spki) if spki != dialed.server.spki_hash => Err(failed(OtherKey.into())),
                Pin::Key(_) | Pin::Certificate => Ok(dialed.channel),
            }
        }
        .boxed()
    }
}

/// The server is whom it should be, with another key.
#[derive(Debug, thiserror::Error)]
#[error("its key is not the pinned one")]
struct OtherKey;

fn expected(id: PeerId, pin: Pin) -> ExpectedServer {
    match (id, pin) {
        (PeerId::Registry(id), Pin::Key(spki)) => ExpectedServer::PinnedRegistry { id, spki },
        (PeerId::Registry(id), Pin::Certificate) => ExpectedServer::Registry(id),
        (PeerId::Node(id), Pin::Key(_) | Pin::Certificate) => ExpectedServer::Node(id),
    }
}

/// Reads the peer that TLS proved; asks about bans for every frame.
pub struct TlsPeerAuth<F>(F);

impl<F: Fn(NodeId) -> bool + Send + Sync + 'static> TlsPeerAuth<F> {
    /// `banned` says whether a machine is banned now.
    pub const fn new(banned: F) -> Self {
        Self(banned)
    }
}

impl<F: Fn(NodeId) -> bool + Send + Sync + 'static> PeerAuth for TlsPeerAuth<F> {
    fn authenticate(&self, extensions: &tonic::Extensions) -> Option<AuthenticatedPeer> {
        let identity = extensions.get::<Peer>()?.identity.as_ref()?;
        let id = match identity.spiffe.subject {
            SpiffeSubject::Registry(id) => PeerId::Registry(id),
            SpiffeSubject::Node(id) => PeerId::Node(id),
            SpiffeSubject::Module { .. } | SpiffeSubject::Operator(_) | SpiffeSubject::Client(_) => {
                return None;
            }
        };
        let peer = AuthenticatedPeer { id, spki: identity.spki_hash, not_after: identity.not_after };
        self.still_trusted(&peer).then_some(peer)
    }

    fn still_trusted(&self, peer: &AuthenticatedPeer) -> bool {
        let (PeerId::Registry(node) | PeerId::Node(node)) = peer.id;
        !(self.0)(node)
    }
}
