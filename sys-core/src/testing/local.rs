//! Calls of a server without a connection: through its guard and its gates all the same.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use holdfast_certs::{Exporter, Peer, PeerIdentity, Serial};
use holdfast_domain::{ClientId, Home, HomeId, SpiffeId, SpiffeSubject, SpkiHash, UnixMs};
use holdfast_proto::module::v1::Route;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::{Code, Status, body::Body};
use tower_layer::Layer as _;
use tower_service::Service;

use crate::{
    guard::Guarded,
    remote::Forwarding,
    server::{PlatformServer, Routes},
};

/// What a generated client calls, as one caller.
#[derive(Clone)]
pub struct Local {
    guarded: Guarded<Forwarding<Routes>>,
    peer: Peer,
}

impl Local {
    /// As a client key of an account, whose certificate is not checked: nobody showed one.
    pub fn client(server: &PlatformServer, client: ClientId, home: Home) -> Self {
        let subject = SpiffeSubject::Client(client);
        let identity = PeerIdentity {
            spki_hash: SpkiHash::of_der(client.as_bytes()),
            spiffe: SpiffeId { trust_domain: server.guard.trust_domain().clone(), subject },
            serial: Serial::new([1; 16]),
            not_after: UnixMs(u64::MAX),
            home: Some(home),
        };
        Self::of(server, Some(identity))
    }

    /// As somebody who shows no certificate.
    pub fn anonymous(server: &PlatformServer) -> Self {
        Self::of(server, None)
    }

    fn of(server: &PlatformServer, identity: Option<PeerIdentity>) -> Self {
        let peer = Peer {
            identity: identity.map(Arc::new),
            exporter: Exporter::new([0; 32]),
            addr: ([127, 0, 0, 1], 9).into(),
        };
        Self { guarded: server.guard.layer(server.remotes.layer(server.routes.clone())), peer }
    }

    /// From another address.
    #[must_use]
    pub fn at(mut self, address: std::net::IpAddr) -> Self {
        self.peer.addr.set_ip(address);
        self
    }

    /// What the head of a method's answer says to a request with a route to a home and nothing else; a stream that began is `Ok`.
    pub async fn knock(&self, path: &str, home: HomeId) -> Code {
        let route = Route { home: Some(home.into()), ..Route::default() };
        let message = Routed { route: Some(route) }.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
        let frame = Full::new(Bytes::from([&[0], &length[..], &message].concat()));
        let body = Body::new(frame.map_err(|never| match never {}));
        let request = Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body);
        let Ok(request) = request else { return Code::Unknown };
        match self.clone().call(request).await {
            Ok(response) => {
                Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
            }
            Err(never) => match never {},
        }
    }
}

/// A request as far as the gate reads it.
#[derive(Clone, PartialEq, prost::Message)]
struct Routed {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
}

impl Service<Request<Body>> for Local {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.guarded, task)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.guarded.call(request)
    }
}
