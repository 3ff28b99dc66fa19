//! The one layer in front of every handler, for unary calls and streams alike.
//!
//! Order, per request: find the method by its exact path (unknown is UNIMPLEMENTED before anything else is looked at) → authenticate →
//! decide → record the decision → hand on, with the [`Caller`](crate::Caller) in the extensions. Handlers that a request reaches
//! otherwise do not exist: the server mounts nothing outside this layer.
//!
//! Messages are bounded as they arrive ([`frames`]), and a handler that panics becomes INTERNAL without a text ([`contain`]).

mod admit;
mod contain;
mod frames;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use holdfast_certs::LiveIdentity;
use http::{Request, Response};
use tonic::body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{authn::Authenticator, errors::Refusal, limits::MAX_MESSAGE_BYTES, rules::RuleTable};

/// The layer. Clones share one table.
#[derive(Clone)]
pub struct Guard(Arc<Checks>);

struct Checks {
    rules: Arc<RuleTable>,
    authenticator: Authenticator,
}

impl Guard {
    /// Guards the methods of `rules`.
    pub fn new(rules: RuleTable, authenticator: Authenticator) -> Self {
        Self(Arc::new(Checks { rules: Arc::new(rules), authenticator }))
    }

    /// The same for a server that shows this identity.
    pub(crate) fn showing(&self, own: LiveIdentity) -> Self {
        let Checks { rules, authenticator } = &*self.0;
        Self(Arc::new(Checks { rules: Arc::clone(rules), authenticator: authenticator.showing(own) }))
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { checks: Arc::clone(&self.0), inner }
    }
}

/// A service behind its guard.
#[derive(Clone)]
pub struct Guarded<S> {
    checks: Arc<Checks>,
    inner: S,
}

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        match self.checks.admit(&request) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                let request = request.map(|body| frames::limit(body, MAX_MESSAGE_BYTES));
                let started = contain::start(|| self.inner.call(request));
                Box::pin(contain::response(started))
            }
            Err(reason) => {
                let response = tonic::Status::from(Refusal::new(reason)).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
