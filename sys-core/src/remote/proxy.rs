//! One call, to the module server and back.
//!
//! Messages pass as they are. Headers do not: of the request's the module gets those that say how messages are framed, its grant and the
//! account; of the answer's the client gets the framing and the status. A credential that a client sends stays with the node.

use std::{
    pin::Pin,
    task::{Context as Task, Poll},
};

use bytes::Bytes;
use holdfast_domain::Reason;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint, Uri},
};
use tower_service::Service as _;

use super::{
    ModuleServerSpec,
    grants::{Grant, Grants},
    sockets,
};
use crate::{
    errors::Refusal,
    gate::Context,
    limits::{MAX_REMOTE_CALL, REMOTE_DIAL_TIMEOUT},
};

/// Where the module finds its grant.
const GRANT: HeaderName = HeaderName::from_static("holdfast-grant");
/// And who calls; nothing for a caller without an identity.
const ACCOUNT: HeaderName = HeaderName::from_static("holdfast-account");

/// Headers and trailers of an answer that reach the client.
const ANSWER: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// The way to one module server.
#[derive(Clone)]
pub(super) struct Proxy {
    channel: Channel,
    grants: Grants,
}

impl Proxy {
    /// Dials when it is first needed, and again whenever the module server was away.
    pub(super) fn new(spec: &ModuleServerSpec, grants: Grants) -> Self {
        let (socket, uid) = (spec.socket.clone(), spec.uid);
        let connector = tower::service_fn(move |_: Uri| {
            let dialing = sockets::dial(socket.clone(), uid);
            async move { dialing.await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://module").connect_timeout(REMOTE_DIAL_TIMEOUT);
        Self { channel: endpoint.connect_with_connector_lazy(connector), grants }
    }

    /// Forwards a call that the gate let in.
    pub(super) async fn call(self, request: Request<Body>) -> Response<Body> {
        self.forward(request).await.unwrap_or_else(|refusal| Status::from(refusal).into_http())
    }

    async fn forward(mut self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let context = request.extensions().get::<Context>().cloned();
        let context =
            context.ok_or_else(|| Refusal::new(Reason::Internal).because("a call past the gate"))?;
        let account = context.account().ok();
        let grant = self.grants.issue(context)?;
        let until = Instant::now() + MAX_REMOTE_CALL;
        let (parts, body) = request.into_parts();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(GRANT, value(grant.text())?);
        if let Some(account) = account {
            headers.insert(ACCOUNT, value(&account.to_string())?);
        }
        let mut forwarded = Request::new(body);
        *forwarded.method_mut() = parts.method;
        *forwarded.uri_mut() = parts.uri.path().parse().map_err(internal)?;
        *forwarded.headers_mut() = headers;
        let answer = timeout_at(until, async {
            std::future::poll_fn(|task| self.channel.poll_ready(task)).await?;
            self.channel.call(forwarded).await
        });
        let answer = answer.await.map_err(|_| too_long())?;
        let (parts, body) = answer.map_err(away)?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(internal(format!("a module server answers {}", parts.status)));
        }
        let held = Held { body, call: Some((grant, Box::pin(sleep_until(until)))) };
        let mut response = Response::new(Body::new(held));
        *response.headers_mut() = only(&ANSWER, &parts.headers);
        Ok(response)
    }
}

fn value(text: &str) -> Result<HeaderValue, Refusal> {
    text.parse().map_err(internal)
}

fn only(names: &[HeaderName], all: &HeaderMap) -> HeaderMap {
    let kept = names.iter().filter_map(|name| Some((name.clone(), all.get(name)?.clone())));
    kept.collect()
}

fn internal(detail: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Internal).because(detail)
}

fn too_long() -> Refusal {
    Refusal::new(Reason::NotReady).because("a module server takes too long")
}

fn away(error: tonic::transport::Error) -> Refusal {
    let causes = holdfast_domain::causes(&error);
    tracing::warn!(error = %causes, "a module server does not answer");
    Refusal::new(Reason::NotReady).because(causes)
}

/// An answer's body. The call ends, and its grant with it, when the body does, when nobody wants the rest, or when its time is up.
struct Held {
    body: Body,
    call: Option<(Grant, Pin<Box<Sleep>>)>,
}

impl Held {
    fn end(&mut self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.call = None;
        self.body = Body::empty();
        Poll::Ready(Some(Err(refusal.into())))
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some((_, end)) = &mut self.call else { return Poll::Ready(None) };
        if end.as_mut().poll(task).is_ready() {
            return self.end(too_long());
        }
        match std::task::ready!(Pin::new(&mut self.body).poll_frame(task)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(match frame.into_trailers() {
                Ok(trailers) => {
                    self.call = None;
                    Frame::trailers(only(&ANSWER, &trailers))
                }
                Err(data) => data,
            }))),
            Some(Err(status)) => self.end(Refusal::new(Reason::NotReady).because(status.message())),
            None => {
                self.call = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.call.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
