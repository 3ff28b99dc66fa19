//! TLS to etcd as our own clients have it to nodes: rustls with the same provider under tonic, one connection a client.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use holdfast_certs::Gathered;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    codegen::http::Uri,
    transport::{Channel, Endpoint},
};
use tower::Service;

use super::certificates::Certificates;

/// As our own clients'.
const STREAM_WINDOW: u32 = 1 << 20;

/// What all connections share.
pub(super) struct Tls(Arc<ClientConfig>);

impl Tls {
    pub(super) fn new(certificates: &Certificates) -> anyhow::Result<Self> {
        let Certificates { root, leaf, key } = certificates;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).context("etcd's root")?).context("etcd's root")?;
        let leaf = CertificateDer::from_pem_file(leaf).context("etcd's leaf")?;
        let key = PrivateKeyDer::from_pem_file(key).context("etcd's key")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .context("TLS")?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![leaf], key)
            .context("a client's certificate")?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// One new connection.
    pub(super) async fn connect(&self, port: u16) -> anyhow::Result<Channel> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connector = Connector { config: Arc::clone(&self.0), address };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).context("an address")?;
        let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW);
        endpoint.connect_with_connector(connector).await.context("connecting to etcd")
    }
}

#[derive(Clone)]
struct Connector {
    config: Arc<ClientConfig>,
    address: SocketAddr,
}

/// As our own clients', which gather what they write.
type Stream = TokioIo<Gathered<TlsStream<TcpStream>>>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { config, address } = self.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let name = ServerName::from(address.ip());
            Ok(TokioIo::new(Gathered::new(TlsConnector::from(config).connect(name, tcp).await?)))
        })
    }
}
