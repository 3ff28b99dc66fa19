//! The dialing end: one connection at a time with its exporter, or a channel that reconnects by itself.

mod connect;
mod expected;

use std::{io, sync::Arc};

use holdfast_domain::RootHash;
use rustls_pki_types::CertificateDer;
use tonic::transport::{Channel, Endpoint};

pub use expected::ExpectedServer;

use crate::{
    Exporter, LiveIdentity, LiveTrust, PeerIdentity, RootCertificate, TlsSetupError, VerifyError,
    limits::{CONNECTION_WINDOW, DIAL_TIMEOUT, PING_INTERVAL, PING_TIMEOUT, STREAM_WINDOW},
    tls::{ServerCheck, client_config},
};
use connect::{Connector, Once};

/// What servers are checked against.
#[derive(Debug, Clone)]
pub enum ServerTrust {
    /// The cluster's trust bundle.
    Bundle(LiveTrust),
    /// The hash of the cluster's root, before there is a bundle. Registries send the root along.
    Pin(RootHash),
}

impl From<LiveTrust> for ServerTrust {
    fn from(trust: LiveTrust) -> Self {
        Self::Bundle(trust)
    }
}

impl From<RootHash> for ServerTrust {
    fn from(pin: RootHash) -> Self {
        Self::Pin(pin)
    }
}

/// Opens connections, with one identity or none.
#[derive(Debug, Clone)]
pub struct Dialer {
    trust: ServerTrust,
    identity: Option<LiveIdentity>,
}

/// A connection that was opened just now.
pub struct Dialed {
    /// Speaks over this one connection; when that ends, every call fails.
    pub channel: Channel,
    /// Equal at the server.
    pub exporter: Exporter,
    /// Who answered.
    pub server: PeerIdentity,
    /// The root that the server was checked against, and with it the cluster and its trust domain.
    pub root: RootCertificate,
}

/// Why a connection was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Not `host:port`.
    #[error("{0:?} is not host:port")]
    Address(String),
    /// TCP, or a TLS failure other than a refused certificate.
    #[error("connecting to {address} failed")]
    Io {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody answered in time.
    #[error("{0} did not answer within {secs} s", secs = DIAL_TIMEOUT.as_secs())]
    Timeout(String),
    /// The server is not the one that was dialed.
    #[error("{}refused the server at {address}", .source.reason().map(|reason| format!("{reason}: ")).unwrap_or_default())]
    Server {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// The server does not speak HTTP/2.
    #[error("{0} does not speak h2")]
    Protocol(String),
    /// TLS could not be configured.
    #[error(transparent)]
    Setup(#[from] TlsSetupError),
    /// HTTP/2 did not start.
    #[error("HTTP/2 with {address} failed")]
    Http {
        /// Where.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

impl Dialer {
    /// Checks servers by `trust`, a [`LiveTrust`] or a [`RootHash`], and shows `identity` to them.
    pub fn new(trust: impl Into<ServerTrust>, identity: Option<LiveIdentity>) -> Self {
        Self { trust: trust.into(), identity }
    }

    /// Opens one connection to `address` (`host:port`).
    ///
    /// In TLS 1.3 the server judges our certificate after this returns: its refusal shows at the first call.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn connect(&self, address: &str, expected: &ExpectedServer) -> Result<Dialed, DialError> {
        let endpoint = endpoint(address)?;
        let connector = self.connector(address, expected)?;
        let stream = connector.connect().await?;
        let (_, tls) = stream.get_ref();
        let exporter = crate::tls::exporter(tls).map_err(|error| connector.io(io::Error::other(error)))?;
        let (server, root) = connector.server(tls.peer_certificates().unwrap_or_default())?;
        let http = |source| DialError::Http { address: address.to_owned(), source };
        let channel = endpoint.connect_with_connector(Once::new(stream)).await.map_err(http)?;
        Ok(Dialed { channel, exporter, server, root })
    }

    /// A channel to `address` (`host:port`) that connects when first used and again whenever it has to, each
    /// time with the identity and the trust of that moment.
    ///
    /// # Errors
    /// [`DialError::Address`], [`DialError::Setup`].
    pub fn channel(&self, address: &str, expected: ExpectedServer) -> Result<Channel, DialError> {
        let endpoint = endpoint(address)?;
        let connector = self.connector(address, &expected)?;
        Ok(endpoint.connect_with_connector_lazy(connector))
    }

    fn connector(&self, address: &str, expected: &ExpectedServer) -> Result<Connector, DialError> {
        let check = ServerCheck { trust: self.trust.clone(), expected: expected.clone() };
        let config = client_config(check.clone(), self.identity.clone())?;
        Ok(Connector { address: Arc::from(address), config, check, identity: self.identity.clone() })
    }
}

/// The scheme is for HTTP only: the connector below it always speaks TLS.
fn endpoint(address: &str) -> Result<Endpoint, DialError> {
    let bad = || DialError::Address(address.to_owned());
    let (_, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let _: u16 = port.parse().map_err(|_| bad())?;
    Ok(Endpoint::from_shared(format!("http://{address}"))
        .map_err(|_| bad())?
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW))
}

impl Connector {
    fn server(
        &self,
        certificates: &[CertificateDer<'_>],
    ) -> Result<(PeerIdentity, RootCertificate), DialError> {
        let (leaf, others) =
            certificates.split_first().ok_or_else(|| self.refused(VerifyError::Malformed))?;
        self.check.verify(leaf, others, connect::now()).map_err(|error| self.refused(error))
    }
}

#[cfg(test)]
mod tests;
