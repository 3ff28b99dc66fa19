//! The bound on each message of a request, unary or streamed, read off the gRPC framing as it arrives.
//!
//! gRPC over HTTP/2, "Length-Prefixed-Message": one byte of flags, four bytes of length, big-endian, then the message. The length is
//! judged before its bytes are taken, so nothing behind this can be made to collect more than the limit.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use holdfast_domain::Reason;
use http_body::{Body as _, Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::errors::Refusal;

const HEADER_BYTES: usize = 5;

/// Ends the request with `Malformed` at the first message over `max` bytes.
pub(super) fn limit(body: Body, max: usize) -> Body {
    if body.is_end_stream() { body } else { Body::new(Limited { body, state: Framing::new(max) }) }
}

struct Limited {
    body: Body,
    state: Framing,
}

impl http_body::Body for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = polled.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        if let Some(Err(TooLong)) = data.map(|data| self.state.advance(data)) {
            let refusal = Refusal::new(Reason::Malformed).because("a message is over the limit");
            return Poll::Ready(Some(Err(refusal.into())));
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Where in the framing the bytes have got to.
struct Framing {
    max: usize,
    /// Bytes of the current message that are still to come.
    rest: usize,
    header: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct TooLong;

impl Framing {
    fn new(max: usize) -> Self {
        Self { max, rest: 0, header: Vec::with_capacity(HEADER_BYTES) }
    }

    fn advance(&mut self, mut data: &[u8]) -> Result<(), TooLong> {
        while !data.is_empty() {
            if self.rest > 0 {
                let taken = self.rest.min(data.len());
                self.rest -= taken;
                data = data.get(taken..).unwrap_or_default();
                continue;
            }
            let (header, after) = data.split_at(data.len().min(HEADER_BYTES - self.header.len()));
            self.header.extend_from_slice(header);
            data = after;
            if let Some((_, length)) = <[u8; HEADER_BYTES]>::try_from(&*self.header)
                .ok()
                .map(|[flags, a, b, c, d]| (flags, [a, b, c, d]))
            {
                self.header.clear();
                self.rest = usize::try_from(u32::from_be_bytes(length)).map_err(|_| TooLong)?;
                if self.rest > self.max {
                    return Err(TooLong);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(len: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(len.to_be_bytes());
        bytes.extend(vec![7; usize::try_from(len).unwrap()]);
        bytes
    }

    #[test]
    fn each_message_is_judged_alone_however_the_bytes_are_cut() {
        let stream = [framed(10), framed(0), framed(10), framed(1)].concat();
        for cut in 1..stream.len() {
            let mut framing = Framing::new(10);
            assert!(stream.chunks(cut).all(|piece| framing.advance(piece).is_ok()), "cut {cut}");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_header() {
        let stream = [framed(10), framed(11)].concat();
        for cut in 1..stream.len() {
            let mut framing = Framing::new(10);
            let seen = stream.chunks(cut).take_while(|piece| framing.advance(piece).is_ok()).count();
            assert!(seen * cut <= framed(10).len() + HEADER_BYTES, "cut {cut}");
        }
    }
}
