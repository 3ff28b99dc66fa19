//! The way of a request that is made in a session, up to where it becomes a request like any other.

use std::{convert::Infallible, sync::Arc};

use holdfast_certs::Peer;
use holdfast_domain::Reason;
use http::{Request, Response};
use tonic::{Status, body::Body};
use tower_service::Service;

use super::{
    Checks,
    admit::{Admitted, Asking, record_no_session},
    first, frames, policy,
};
use crate::{
    errors::Refusal,
    limits::MAX_MESSAGE_BYTES,
    rules::Method,
    session::{Session, limits::BODY_PATIENCE},
};

/// Puts the session in place of the connection, and lets the request go on as if its connection had shown the certificate.
pub(super) async fn call<S>(
    checks: Arc<Checks>,
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = request.map(|body| frames::limit(body, MAX_MESSAGE_BYTES));
    let Entered { mut request, method, peer, session } = match enter(&checks, request).await {
        Ok(entered) => entered,
        Err(refusal) => return Ok(Status::from(refusal).into_http()),
    };
    match checks.admit(&request, Some(Arc::clone(&session))) {
        Ok(Admitted::Policy(asking)) => policy::call(checks, asking, inner, request).await,
        Ok(Admitted::Handler(caller)) => {
            request.extensions_mut().insert(caller.clone());
            // The connection stays when the session ends, so the call is looked after.
            let asking = Asking { caller, method, peer, session: Some(session) };
            policy::watched(checks, Arc::new(asking), None, inner, request).await
        }
        Err(reason) => Ok(Status::from(Refusal::new(reason)).into_http()),
    }
}

/// A request in a session that holds.
struct Entered {
    request: Request<Body>,
    method: Arc<Method>,
    /// The connection with the session's identity.
    peer: Peer,
    session: Arc<Session>,
}

/// Finds the session and lets the request prove itself. What is refused here is recorded here.
async fn enter(checks: &Checks, request: Request<Body>) -> Result<Entered, Refusal> {
    let (method, peer) = checks.addressed(&request)?;
    let (method, peer) = (Arc::clone(method), peer.clone());
    let proven = prove(checks, &peer, &method.path, request).await;
    let (mut request, session) = proven.inspect_err(|refusal| {
        record_no_session(&peer, &method, refusal.reason());
    })?;
    let peer = Peer { identity: Some(session.identity()), ..peer };
    request.extensions_mut().insert(peer.clone());
    // For signing out.
    request.extensions_mut().insert(Arc::clone(&session));
    Ok(Entered { request, method, peer, session })
}

async fn prove(
    checks: &Checks,
    peer: &Peer,
    path: &str,
    request: Request<Body>,
) -> Result<(Request<Body>, Arc<Session>), Refusal> {
    if peer.identity.is_some() {
        return Err(Refusal::new(Reason::Malformed).because("a session on a connection with a certificate"));
    }
    let sessions = checks.sessions.as_ref().ok_or(Reason::SessionUnknown)?;
    let held = sessions.hold(request.headers(), peer)?;
    if !held.is_signed() {
        return Ok((request, sessions.prove(held, path, &[])?));
    }
    let (parts, body) = request.into_parts();
    let body = first::whole(body, BODY_PATIENCE).await?;
    let session = sessions.prove(held, path, &body)?;
    Ok((Request::from_parts(parts, first::again(body)), session))
}
