//! The node's socket for one module server.

use std::{io, path::PathBuf, sync::Arc};

use holdfast_certs::{Exporter, Peer, PeerIdentity, PinnedPeers, Serial};
use holdfast_domain::{SpiffeId, SpiffeSubject, SpkiHash, TrustDomain, UnixMs};
use holdfast_proto::data::v1 as pb;
use tokio::{net::UnixListener, sync::Semaphore};

use super::{ModuleServer, data::DataService, sockets};
use crate::{
    BanList, Clock, PlatformServer,
    limits::MAX_DATA_CONNECTIONS,
    server::{ServeError, StartError},
};

/// Why a module server's rows are not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataServeError {
    /// The socket.
    #[error(
        "module server {module}: cannot listen at {}: its folder must be there and writable for the node, and gid {gid} a group of the node's user", path.display()
    )]
    Socket {
        /// Which.
        module: String,
        /// The socket's path.
        path: PathBuf,
        /// The group that is to reach it.
        gid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No name for its user's identity.
    #[error("module server {0}: no identity can have this name")]
    Name(String),
    /// The service.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It stopped by itself.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Rows for one module server, listening.
pub struct DataServer {
    server: PlatformServer,
    listener: UnixListener,
    peer: Peer,
    uid: u32,
}

impl ModuleServer {
    /// Listens for the module server's user: behind a guard like every other service, as the identity that the kernel vouches for.
    ///
    /// # Errors
    /// See [`DataServeError`].
    pub async fn listen(
        &self,
        trust_domain: TrustDomain,
        clock: Clock,
    ) -> Result<DataServer, DataServeError> {
        let spec = &self.spec;
        let peer = peer(self.name, spec.uid, trust_domain.clone());
        let peer = peer.ok_or_else(|| DataServeError::Name(self.name.to_owned()))?;
        let server = PlatformServer::builder(trust_domain, BanList::new(), PinnedPeers::none(), clock)
            .descriptors(holdfast_proto::DESCRIPTORS)
            .service(pb::data_server::DataServer::new(DataService(self.clone())))
            .build()
            .await?;
        let listener = sockets::listen(&spec.data, spec.gid).map_err(|source| DataServeError::Socket {
            module: self.name.to_owned(),
            path: spec.data.clone(),
            gid: spec.gid,
            source,
        })?;
        Ok(DataServer { server, listener, peer, uid: spec.uid })
    }
}

impl DataServer {
    /// Serves until it is dropped.
    ///
    /// # Errors
    /// [`DataServeError::Serve`] when the socket fails.
    pub async fn serve(self) -> Result<(), DataServeError> {
        let Self { server, listener, peer, uid } = self;
        let open = Arc::new(Semaphore::new(MAX_DATA_CONNECTIONS));
        Ok(server.serve_local(sockets::Accepted { open, listener, uid, peer }).await?)
    }
}

/// The user of a module server as the guard knows it. There is no certificate: the kernel says who is at the other end.
fn peer(name: &str, uid: u32, trust_domain: TrustDomain) -> Option<Peer> {
    let name = name.replace('_', "-").parse().ok()?;
    let instance = format!("uid-{uid}").parse().ok()?;
    let identity = PeerIdentity {
        spiffe: SpiffeId { trust_domain, subject: SpiffeSubject::Module { name, instance } },
        spki_hash: SpkiHash::of_der(&[]),
        serial: Serial::new([0; 16]),
        not_after: UnixMs(u64::MAX),
        home: None,
    };
    let (identity, exporter) = (Some(Arc::new(identity)), Exporter::new([0; 32]));
    Some(Peer { identity, exporter, addr: ([0, 0, 0, 0], 0).into() })
}
