//! Behind the guard: calls of module servers' services go to their proxies, all others to the server's own.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{ModuleServer, proxy::Proxy};
use crate::guard::ResponseFuture;

/// Proxies by service.
#[derive(Clone, Default)]
pub(crate) struct Remotes(Arc<BTreeMap<&'static str, Proxy>>);

impl Remotes {
    pub(crate) fn new(servers: &[ModuleServer]) -> Self {
        let of = |server: &ModuleServer| {
            let proxy = server.proxy.clone();
            server.services.clone().into_iter().map(move |service| (service, proxy.clone()))
        };
        Self(Arc::new(servers.iter().flat_map(of).collect()))
    }

    fn find(&self, path: &str) -> Option<&Proxy> {
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        self.0.get(service)
    }
}

impl<S> Layer<S> for Remotes {
    type Service = Forwarding<S>;

    fn layer(&self, inner: S) -> Forwarding<S> {
        Forwarding { remotes: self.clone(), inner }
    }
}

/// A service beside those of module servers.
#[derive(Clone)]
pub(crate) struct Forwarding<S> {
    remotes: Remotes,
    inner: S,
}

impl<S> Service<Request<Body>> for Forwarding<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = ResponseFuture>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        match self.remotes.find(request.uri().path()) {
            Some(proxy) => {
                let proxy = proxy.clone();
                Box::pin(async move { Ok(proxy.call(request).await) })
            }
            None => self.inner.call(request),
        }
    }
}
