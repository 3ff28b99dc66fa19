//! TCP and TLS, as tonic's connectors want them.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use holdfast_domain::UnixMs;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

use super::DialError;
use crate::{
    Gathered, LiveIdentity, VerifyError,
    limits::DIAL_TIMEOUT,
    tls::{ServerCheck, refusal_of, speaks_h2},
};

type Stream = TlsStream<TcpStream>;
type Connecting<E> = Pin<Box<dyn Future<Output = Result<TokioIo<Gathered<Stream>>, E>> + Send>>;

/// Opens a new connection each time.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) address: Arc<str>,
    pub(super) config: Arc<ClientConfig>,
    pub(super) check: ServerCheck,
    pub(super) identity: Option<LiveIdentity>,
}

impl Connector {
    /// TCP and TLS, each within [`DIAL_TIMEOUT`].
    pub(super) async fn connect(&self) -> Result<Stream, DialError> {
        let stream = self.handshake().await?;
        if speaks_h2(stream.get_ref().1) {
            Ok(stream)
        } else {
            Err(DialError::Protocol(self.address.to_string()))
        }
    }

    async fn handshake(&self) -> Result<Stream, DialError> {
        let timeout = |_| DialError::Timeout(self.address.to_string());
        let tcp = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(&*self.address)).await;
        let tcp = tcp.map_err(timeout)?.map_err(|error| self.io(error))?;
        tcp.set_nodelay(true).map_err(|error| self.io(error))?;
        let handshake = TlsConnector::from(Arc::clone(&self.config)).connect(self.no_name(&tcp)?, tcp);
        let handshake = tokio::time::timeout(DIAL_TIMEOUT, handshake);
        let blocking = self.identity.as_ref().is_some_and(|identity| identity.current().is_blocking());
        let stream = if blocking {
            // rustls signs while it is polled: a TPM's millisecond (or its queue) must not stop a worker.
            let runtime = tokio::runtime::Handle::current();
            let joined = tokio::task::spawn_blocking(move || runtime.block_on(handshake)).await;
            joined.map_err(|error| self.io(io::Error::other(error)))?
        } else {
            handshake.await
        };
        stream.map_err(timeout)?.map_err(|error| self.io(error))
    }

    /// rustls wants a name to check; ours are SPIFFE IDs, so it gets the address and never uses it.
    fn no_name(&self, tcp: &TcpStream) -> Result<ServerName<'static>, DialError> {
        tcp.peer_addr().map(|address| ServerName::from(address.ip())).map_err(|error| self.io(error))
    }

    /// An I/O error, or the reason within it when it is our own refusal.
    pub(super) fn io(&self, source: io::Error) -> DialError {
        let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls.and_then(refusal_of) {
            Some(refusal) => self.refused(refusal.clone()),
            None => DialError::Io { address: self.address.to_string(), source },
        }
    }

    pub(super) fn refused(&self, source: VerifyError) -> DialError {
        DialError::Server { address: self.address.to_string(), source }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Gathered<Stream>>;
    type Error = DialError;
    type Future = Connecting<DialError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(gathered) })
    }
}

/// Hands out the one connection that was opened already, and fails ever after.
pub(super) struct Once(Option<Stream>);

impl Once {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Some(stream))
    }
}

impl Service<Uri> for Once {
    type Response = TokioIo<Gathered<Stream>>;
    type Error = io::Error;
    type Future = Connecting<io::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let ended = || io::Error::new(io::ErrorKind::NotConnected, "the connection has ended");
        let stream = self.0.take().map(gathered).ok_or_else(ended);
        Box::pin(std::future::ready(stream))
    }
}

fn gathered(stream: Stream) -> TokioIo<Gathered<Stream>> {
    TokioIo::new(Gathered::new(stream))
}

pub(super) fn now() -> UnixMs {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
