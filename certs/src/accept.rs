//! The accepting end: from a TCP listener to authenticated connections, as a stream for tonic.
//!
//! Strangers can cost us at most what [`AcceptLimits`] says: a slot per connection, a deadline per handshake.

mod io;
mod slots;

use std::{io as std_io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tracing::debug;

pub use io::TlsIo;

use crate::{
    Connections, Peer, ServerTls,
    leaf::Leaf,
    limits,
    tls::{exporter, speaks_h2},
};
use slots::{Slot, Slots};

/// How much of us strangers can claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptLimits {
    /// A handshake that takes longer is cut off.
    pub handshake_timeout: Duration,
    /// Handshakes at once, in all.
    pub max_handshakes: usize,
    /// Handshakes at once from one address (of IPv6, from one /64).
    pub max_handshakes_per_address: usize,
    /// Open connections, in all.
    pub max_connections: usize,
    /// Open connections from one address (of IPv6, from one /64).
    pub max_connections_per_address: usize,
}

impl Default for AcceptLimits {
    fn default() -> Self {
        Self {
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            max_handshakes: limits::MAX_HANDSHAKES,
            max_handshakes_per_address: limits::MAX_HANDSHAKES_PER_ADDRESS,
            max_connections: limits::MAX_CONNECTIONS,
            max_connections_per_address: limits::MAX_CONNECTIONS_PER_ADDRESS,
        }
    }
}

/// Accepts connections until the stream is dropped. Connections over a limit are closed at once; failed
/// handshakes are logged at debug level and never reach the stream.
pub fn incoming(
    listener: TcpListener,
    tls: ServerTls,
    connections: Connections,
    limits: AcceptLimits,
) -> impl Stream<Item = std_io::Result<TlsIo>> + Send + Unpin {
    let (ready, accepted) = mpsc::channel(limits::ACCEPT_QUEUE);
    let acceptor = Acceptor {
        tls,
        connections,
        limits,
        handshakes: Slots::new(limits.max_handshakes, limits.max_handshakes_per_address),
        open: Slots::new(limits.max_connections, limits.max_connections_per_address),
        ready,
    };
    tokio::spawn(Arc::new(acceptor).run(listener));
    ReceiverStream::new(accepted)
}

struct Acceptor {
    tls: ServerTls,
    connections: Connections,
    limits: AcceptLimits,
    handshakes: Slots,
    open: Slots,
    ready: mpsc::Sender<std_io::Result<TlsIo>>,
}

/// Why a connection was not accepted.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("the handshake took too long")]
    Timeout,
    #[error("handshake failed: {0}")]
    Handshake(#[from] std_io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the client does not speak h2")]
    Protocol,
    #[error("the client's certificate: {0}")]
    Certificate(#[from] crate::VerifyError),
}

impl Acceptor {
    /// Ends, and closes the listener and all handshakes in progress, when nobody takes connections any more.
    async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut handshakes = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = self.ready.closed() => return,
                Some(_) = handshakes.join_next() => continue,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((tcp, addr)) => {
                    let Some(slots) = self.admit(addr) else { continue };
                    handshakes.spawn(Arc::clone(&self).serve(tcp, addr, slots));
                }
                Err(error) => {
                    debug!(%error, "accept failed");
                    tokio::time::sleep(limits::ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn admit(&self, addr: SocketAddr) -> Option<(Slot, Slot)> {
        let slots = self.handshakes.take(addr.ip()).zip(self.open.take(addr.ip()));
        if slots.is_none() {
            debug!(%addr, "connection refused: too many");
        }
        slots
    }

    async fn serve(self: Arc<Self>, tcp: TcpStream, addr: SocketAddr, (handshake, open): (Slot, Slot)) {
        let timeout = tokio::time::timeout(self.limits.handshake_timeout, self.handshake(tcp, addr, open));
        let accepted = timeout.await.unwrap_or(Err(Refused::Timeout));
        drop(handshake);
        match accepted {
            // Fails only when the server is gone.
            Ok(io) => drop(self.ready.send(Ok(io)).await),
            Err(reason) => debug!(%addr, %reason, "connection refused"),
        }
    }

    async fn handshake(&self, tcp: TcpStream, addr: SocketAddr, open: Slot) -> Result<TlsIo, Refused> {
        tcp.set_nodelay(true)?;
        let stream = self.tls.acceptor().accept(tcp).await?;
        let (_, tls) = stream.get_ref();
        if !speaks_h2(tls) {
            return Err(Refused::Protocol);
        }
        let leaf = tls.peer_certificates().and_then(<[_]>::first);
        let identity = leaf.map(|der| Leaf::parse(der)).transpose()?.map(|leaf| Arc::new(leaf.identity));
        let peer = Peer { identity, exporter: exporter(tls)?, addr };
        let registered = self.connections.register(peer.identity.clone());
        Ok(TlsIo::new(stream, peer, registered, open))
    }
}
