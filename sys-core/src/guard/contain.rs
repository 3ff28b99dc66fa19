//! What handlers must not do to a caller: panic, and answer with texts that are not for him.
//!
//! A call whose handler panics ends with INTERNAL and no text; the connection and everybody else's calls go on. Where the program is built
//! to abort on panic this never runs; it serves builds that unwind.
//!
//! An INTERNAL or UNKNOWN status that is no [`Refusal`] is tonic's own or an exception of a module server: its text stays here. That of a
//! request which cannot be decoded becomes a refusal like any other. Nor does a client get details that are no base64: tonic's panics.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use futures::FutureExt as _;
use holdfast_domain::Reason;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use crate::errors::Refusal;

/// Begins a call that may panic at once. Give the result to [`response`].
///
/// Nothing of the handler is used after a panic, so that its broken invariants cannot be seen: that is the unwind safety.
pub(super) fn start<F>(call: impl FnOnce() -> F) -> Result<F, Panicked> {
    std::panic::catch_unwind(AssertUnwindSafe(call)).map_err(|_| Panicked)
}

/// A call that panicked.
pub(super) struct Panicked;

/// Waits for the response of a call, which may panic now or while its body is streamed.
pub(super) async fn response<F>(started: Result<F, Panicked>) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<Response<Body>, Infallible>>,
{
    let Ok(future) = started else { return Ok(internal().into_http()) };
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(Ok(mut response)) => {
            refuse(response.headers_mut());
            Ok(response.map(|body| Body::new(Contained(Some(body)))))
        }
        Err(_) => Ok(internal().into_http()),
    }
}

/// A frame without what trailers must not say.
fn checked(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        refuse(trailers);
    }
    frame
}

fn internal() -> Status {
    tracing::error!("a handler panicked");
    Status::from(Refusal::new(Reason::Internal))
}

/// What every error of prost's decoder begins with; tonic makes it an INTERNAL status.
const UNDECODABLE: &str = "failed to decode Protobuf message";

/// Details as tonic reads them, padded or not.
const DETAILS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Turns a status that says what it should not into a refusal. Most say nothing: they cost a look.
fn refuse(headers: &mut HeaderMap) {
    let details = headers.get("grpc-status-details-bin").map(|details| DETAILS.decode(details));
    let code = headers.get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()));
    let reason = match (details, code) {
        (Some(Err(error)), _) => {
            tracing::error!(%error, "a handler's status has details that are none");
            Reason::Internal
        }
        (Some(Ok(details)), _) if !details.is_empty() => return,
        (_, Some(Code::Internal | Code::Unknown)) => untyped(headers),
        _ => return,
    };
    let replaced = Status::from(Refusal::new(reason)).add_header(headers);
    debug_assert!(replaced.is_ok(), "a refusal's texts are headers");
}

/// What a failure without details is to a caller.
fn untyped(headers: &HeaderMap) -> Reason {
    let status = Status::from_header_map(headers);
    let text = status.as_ref().map_or("", Status::message);
    if text.starts_with(UNDECODABLE) {
        tracing::debug!(text, "a request that cannot be decoded");
        Reason::Malformed
    } else {
        tracing::error!(text, "a handler failed");
        Reason::Internal
    }
}

/// A response body whose stream may panic. `None` once it did.
struct Contained(Option<Body>);

impl http_body::Body for Contained {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.0.as_mut() else { return Poll::Ready(None) };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)));
        polled.map(|polled| polled.map(|frame| frame.map(|frame| frame.map(checked)))).unwrap_or_else(|_| {
            self.0 = None;
            let mut trailers = HeaderMap::new();
            Poll::Ready(Some(internal().add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
