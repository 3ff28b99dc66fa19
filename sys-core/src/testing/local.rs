//! Calls of a server without a connection: through its guard and its gates all the same.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use holdfast_certs::{Exporter, Peer, PeerIdentity, Serial};
use holdfast_domain::{ClientId, Home, SpiffeId, SpiffeSubject, SpkiHash, UnixMs};
use http::{Request, Response};
use tonic::{body::Body, service::Routes};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{guard::Guarded, server::PlatformServer};

/// What a generated client calls, as one caller.
#[derive(Clone)]
pub struct Local {
    guarded: Guarded<Routes>,
    peer: Peer,
}

impl Local {
    /// As a client key of an account, whose certificate is not checked: nobody showed one.
    pub fn client(server: &PlatformServer, client: ClientId, home: Home) -> Self {
        let subject = SpiffeSubject::Client(client);
        let identity = PeerIdentity {
            spki_hash: SpkiHash::of_der(client.as_bytes()),
            spiffe: SpiffeId { trust_domain: server.trust_domain.clone(), subject },
            serial: Serial::new([1; 16]),
            not_after: UnixMs(u64::MAX),
            home: Some(home),
        };
        let peer = Peer {
            identity: Some(Arc::new(identity)),
            exporter: Exporter::new([0; 32]),
            addr: ([127, 0, 0, 1], 9).into(),
        };
        Self { guarded: server.guard.layer(server.routes.clone()), peer }
    }
}

impl Service<Request<Body>> for Local {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Guarded<Routes> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.guarded, task)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.guarded.call(request)
    }
}
