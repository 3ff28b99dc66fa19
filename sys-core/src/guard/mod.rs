//! The one layer in front of every handler, for unary calls and streams alike.
//!
//! Order, per request: find the method by its exact path (unknown is UNIMPLEMENTED before anything else is looked at) → authenticate →
//! decide → record the decision → hand on, with the [`Caller`](crate::Caller) in the extensions. For a method under a check the decision
//! goes on at the [gate](crate::gate), with the route that the first message names, and what it allows is in the extensions as a
//! [`Context`](crate::gate::Context). Handlers that a request reaches otherwise do not exist: the server mounts nothing outside this layer.
//!
//! A request in a [session](crate::session) goes the same way once its session has taken the place of the connection's identity.
//!
//! Messages are bounded as they arrive ([`frames`]), and a handler that panics becomes INTERNAL without a text ([`contain`]).

mod admit;
mod contain;
mod first;
mod frames;
mod policy;
mod recheck;
mod session;

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

use crate::{
    authn::Authenticator,
    errors::Refusal,
    gate::Gates,
    limits::MAX_MESSAGE_BYTES,
    rules::RuleTable,
    session::{Sessions, is_presented},
};
use admit::Admitted;

/// The layer. Clones share one table.
#[derive(Clone)]
pub struct Guard(Arc<Checks>);

struct Checks {
    rules: Arc<RuleTable>,
    authenticator: Authenticator,
    gates: Gates,
    /// `None` where callers without a certificate stay strangers.
    sessions: Option<Sessions>,
}

impl Guard {
    /// Guards the methods of `rules`.
    pub(crate) fn new(
        rules: RuleTable,
        authenticator: Authenticator,
        gates: Gates,
        sessions: Option<Sessions>,
    ) -> Self {
        Self(Arc::new(Checks { rules: Arc::new(rules), authenticator, gates, sessions }))
    }

    /// The domain of its callers.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn trust_domain(&self) -> &holdfast_domain::TrustDomain {
        &self.0.authenticator.trust_domain
    }

    /// The same for a server that shows this identity.
    pub(crate) fn showing(&self, own: LiveIdentity) -> Self {
        let Checks { rules, authenticator, gates, sessions } = &*self.0;
        let (rules, authenticator, gates) = (Arc::clone(rules), authenticator.showing(own), gates.clone());
        Self(Arc::new(Checks { rules, authenticator, gates, sessions: sessions.clone() }))
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

impl<S: Clone> Guarded<S> {
    /// The service that was polled ready: it is the one to call.
    fn ready(&mut self) -> S {
        let next = self.inner.clone();
        std::mem::replace(&mut self.inner, next)
    }
}

/// What a call comes to.
pub(crate) type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> ResponseFuture {
        if is_presented(request.headers()) {
            let inner = self.ready();
            return Box::pin(session::call(Arc::clone(&self.checks), inner, request));
        }
        match self.checks.admit(&request, None) {
            Ok(Admitted::Handler(caller)) => {
                request.extensions_mut().insert(caller);
                let request = request.map(|body| frames::limit(body, MAX_MESSAGE_BYTES));
                let started = contain::start(|| self.inner.call(request));
                Box::pin(contain::response(started))
            }
            Ok(Admitted::Policy(asking)) => {
                let inner = self.ready();
                Box::pin(policy::call(Arc::clone(&self.checks), asking, inner, request))
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
