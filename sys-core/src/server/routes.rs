//! A server's own services by name.
//!
//! The guard has matched the whole path by the time that it comes here: all that is left to find is whose method it is.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower_service::Service;

use crate::guard::ResponseFuture;

/// Services being collected.
#[derive(Default)]
pub(super) struct Mounts(BTreeMap<&'static str, Box<dyn Mounted>>);

/// All services of a server. Clones share them.
#[derive(Clone)]
pub(crate) struct Routes(Arc<Mounts>);

/// A service that each call takes a clone of.
pub(super) trait Mounted: Send + Sync {
    fn answer(&self, request: Request<Body>) -> ResponseFuture;
}

impl<S> Mounted for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    fn answer(&self, request: Request<Body>) -> ResponseFuture {
        let mut service = self.clone();
        Box::pin(async move {
            std::future::poll_fn(|task| service.poll_ready(task)).await?;
            service.call(request).await
        })
    }
}

impl Mounts {
    /// Adds a service under its name.
    pub(super) fn add<S: Mounted + NamedService + 'static>(&mut self, service: S) {
        self.0.insert(S::NAME, Box::new(service));
    }

    fn find(&self, path: &str) -> Option<&dyn Mounted> {
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        self.0.get(service).map(|service| &**service)
    }
}

impl From<Mounts> for Routes {
    fn from(mounts: Mounts) -> Self {
        Self(Arc::new(mounts))
    }
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ResponseFuture {
        match self.0.find(request.uri().path()) {
            Some(service) => service.answer(request),
            // The guard lets none of these through.
            None => Box::pin(std::future::ready(Ok(Status::unimplemented("").into_http()))),
        }
    }
}
