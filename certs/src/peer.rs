//! Who is at the other end of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

use holdfast_domain::{Home, SpiffeId, SpkiHash, UnixMs};
use serde::{Deserialize, Serialize};

/// What a connection was proven to be. tonic puts it into the extensions of every request.
///
/// True at the time of the handshake: ban and expiry are for the request layer to check, per RPC.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The certified identity; `None` for a peer that showed no certificate.
    pub identity: Option<Arc<PeerIdentity>>,
    /// Secret shared by both ends of this very connection, to bind signatures to it.
    pub exporter: Exporter,
    /// Where the connection comes from.
    pub addr: SocketAddr,
}

/// An identity from a certificate that chains to the cluster's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The only name in the certificate.
    pub spiffe: SpiffeId,
    /// The key, which outlives certificates.
    pub spki_hash: SpkiHash,
    /// The certificate.
    pub serial: Serial,
    /// End of the certificate. In the past for a pinned voter (see [`crate::PinnedPeers`]).
    pub not_after: UnixMs,
    /// The account of a client.
    pub home: Option<Home>,
}

/// TLS exporter (RFC 8446, 7.5) of a connection, equal at both ends and at no other connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Exporter([u8; 32]);

impl Exporter {
    /// Label under which the value is drawn.
    pub const LABEL: &'static [u8] = b"EXPORTER-holdfast-v1";

    /// Wraps the bytes (tests, and transports that terminate TLS elsewhere).
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a transcript. Not for logs.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(..)")
    }
}

/// Serial number of a certificate: random, so unique over all authorities.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Serial([u8; Self::LEN]);

impl Serial {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Wraps the bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl TryFrom<&[u8]> for Serial {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}
