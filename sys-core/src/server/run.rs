//! Listening: TLS in, limits, and an end that lets open calls finish for a while.

use futures::Stream;
use holdfast_certs::{AcceptLimits, Connections, Peer, ServerTls};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::oneshot,
};
use tonic::transport::{Server, server::Connected};

use super::PlatformServer;
use crate::limits::{
    DRAIN_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_CALLS_PER_CONNECTION, MAX_CONNECTION_AGE,
    MAX_CONNECTION_AGE_GRACE, MAX_HEADER_LIST_BYTES, MAX_STREAMS_PER_CONNECTION,
};

/// Why a server stopped by itself.
#[derive(Debug, thiserror::Error)]
#[error("the server stopped")]
pub struct ServeError(#[from] tonic::transport::Error);

impl PlatformServer {
    /// Serves until `shutdown` is ready; then health says so, endless streams end, no connection is accepted any more, and open calls have
    /// [`DRAIN_TIMEOUT`] to finish.
    ///
    /// # Errors
    /// [`ServeError`] when the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: ServerTls,
        limits: AcceptLimits,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let connections = Connections::new();
        let own = tls.identity().clone();
        let enforce =
            self.bans.enforce(connections.clone(), self.pinned.clone(), own.clone(), self.clock.clone());
        let incoming = holdfast_certs::incoming(listener, tls, connections.clone(), limits);
        let (draining, drain) = oneshot::channel::<()>();
        let signal = async {
            shutdown.await;
            self.health.not_ready().await;
            self.health.end_watches().await;
            self.stopping.begin();
            // The receiver lives as long as this future.
            let _ = draining.send(());
        };
        let serving = transport()
            .layer(self.guard.showing(own))
            .layer(self.remotes.clone())
            .serve_with_incoming_shutdown(self.routes.clone(), incoming, signal);
        tokio::select! {
            served = serving => Ok(served?),
            () = enforce => Ok(()),
            () = cut_off(drain, connections) => Ok(()),
        }
    }

    /// Serves connections of this machine whose callers the kernel names, until it is dropped.
    pub(crate) async fn serve_local<S, I>(&self, incoming: S) -> Result<(), ServeError>
    where
        S: Stream<Item = std::io::Result<I>> + Send,
        I: AsyncRead + AsyncWrite + Connected<ConnectInfo = Peer> + Unpin + Send + 'static,
    {
        let serving =
            transport().layer(self.guard.clone()).serve_with_incoming(self.routes.clone(), incoming);
        Ok(serving.await?)
    }
}

/// Some time after the drain begins, ends what is still open.
async fn cut_off(drain: oneshot::Receiver<()>, connections: Connections) {
    if drain.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(DRAIN_TIMEOUT).await;
    let cut = connections.close_all();
    tracing::info!(connections = cut, "cut off what did not finish in time");
}

fn transport() -> Server {
    Server::builder()
        .concurrency_limit_per_connection(MAX_CALLS_PER_CONNECTION)
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .max_connection_age(MAX_CONNECTION_AGE)
        .max_connection_age_grace(MAX_CONNECTION_AGE_GRACE)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(holdfast_certs::limits::STREAM_WINDOW)
        .initial_connection_window_size(holdfast_certs::limits::CONNECTION_WINDOW)
}
