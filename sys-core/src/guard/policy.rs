//! The way of a request through its module's gate.

use std::{convert::Infallible, sync::Arc};

use holdfast_domain::HomeId;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower_service::Service;

use super::{
    Checks,
    admit::Asking,
    contain, first, frames,
    recheck::{self, Opened},
};
use crate::{gate::Denied, limits::MAX_MESSAGE_BYTES};

/// Reads the route, asks the gate, records the decision, calls the handler.
pub(super) async fn call<S>(
    checks: Arc<Checks>,
    asking: Arc<Asking>,
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let (parts, body) = request.into_parts();
    let body = frames::limit(body, MAX_MESSAGE_BYTES);
    let mut home = None;
    let opened = async {
        let (route, body) = first::route(body).await?;
        home = route.home.as_ref().and_then(|home| HomeId::try_from(home).ok());
        let context = checks.gates.open(&asking.caller, &asking.method, &route).await?;
        Ok::<_, Denied>((route, body, context))
    };
    let (route, body, context) = match opened.await {
        Ok(opened) => opened,
        Err(Denied { refusal, policies }) => {
            asking.record(home, policies.as_deref(), Err(refusal.reason()));
            return Ok(Status::from(refusal).into_http());
        }
    };
    asking.record(Some(context.home()), Some(context.policies()), Ok(()));
    let mut request = Request::from_parts(parts, body);
    request.extensions_mut().insert(asking.caller.clone());
    request.extensions_mut().insert(context.clone());
    watched(checks, asking, Some(Opened { route, context }), inner, request).await
}

/// Calls the handler, for as long as the call is allowed.
pub(super) async fn watched<S>(
    checks: Arc<Checks>,
    asking: Arc<Asking>,
    opened: Option<Opened>,
    mut inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    // A module server may let its answer's body last, whatever it declared.
    let lasts = asking.method.streams || opened.as_ref().is_some_and(|opened| opened.context.is_forwarded());
    if !lasts {
        let call = contain::response(contain::start(|| inner.call(request)));
        let finished = recheck::finish(call, &checks, &asking, opened.as_ref()).await;
        return finished.unwrap_or_else(|refusal| Ok(Status::from(refusal).into_http()));
    }
    let watch = recheck::Watch::new(checks, asking, opened);
    let request = request.map(|body| watch.over(body));
    let call = contain::response(contain::start(|| inner.call(request)));
    match watch.during(call).await {
        Ok(response) => Ok(response?.map(|body| watch.over(body))),
        Err(refusal) => Ok(Status::from(refusal).into_http()),
    }
}
