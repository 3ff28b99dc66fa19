//! A channel whose calls are made in a session.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use holdfast_domain::Reason;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use tonic::{Status, body::Body, transport};
use tower_service::Service;

use super::{Bound, Inner, Session, held::Held};
use crate::{error::Answer, limits::MAX_SIGNED_BYTES};

/// What a generated client calls: `FilesClient::new(session.channel())`.
#[derive(Clone)]
pub struct SessionChannel(Session);

impl SessionChannel {
    pub(super) const fn new(session: Session) -> Self {
        Self(session)
    }
}

impl Service<Request<Body>> for SessionChannel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, transport::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let session = self.0.clone();
        Box::pin(async move {
            let held = match session.current().await {
                Ok(held) => held,
                Err(error) => {
                    // Calls know statuses only; this one is the transport's failure to them.
                    let status = Status::unavailable(holdfast_domain::causes(&error));
                    return Ok(status.into_http());
                }
            };
            let request = match dressed(&session.0, &held, request).await {
                Ok(request) => request,
                Err(status) => return Ok(status.into_http()),
            };
            let mut channel = session.0.to.channel.clone();
            std::future::poll_fn(|context| channel.poll_ready(context)).await?;
            let response = channel.call(request).await?;
            if is_unknown(&response) {
                session.forget(&held).await;
            }
            Ok(response)
        })
    }
}

/// The request with all that the node asks for.
async fn dressed(inner: &Inner, held: &Arc<Held>, request: Request<Body>) -> Result<Request<Body>, Status> {
    let Inner { signer, to, bound, .. } = inner;
    let (mut parts, body) = request.into_parts();
    held.present(&mut parts.headers);
    let Bound::Origin(origin) = bound else { return Ok(Request::from_parts(parts, body)) };
    let body = whole(body).await?;
    let path = parts.uri.path().to_owned();
    held.sign(signer, to, origin, &path, &body, &mut parts.headers);
    let body = Full::new(body).map_err(|never| match never {});
    Ok(Request::from_parts(parts, Body::new(body)))
}

async fn whole(body: Body) -> Result<Bytes, Status> {
    let collected = Limited::new(body, MAX_SIGNED_BYTES).collect().await;
    let too_large = |_| Status::out_of_range("a signed request is one message, and this one is too large");
    Ok(collected.map_err(too_large)?.to_bytes())
}

/// Whether the node has forgotten the session, or never knew it.
fn is_unknown(response: &Response<Body>) -> bool {
    let status = Status::from_header_map(response.headers());
    let answer = status.filter(|status| status.code() != tonic::Code::Ok).map(|status| Answer::of(&status));
    matches!(answer, Some(Answer::Refused { reason: Reason::SessionUnknown, .. }))
}
