//! The first message of a request, read ahead of its handler.
//!
//! A method under a policy is decided on what its request addresses. The handler gets every byte all the same: what was read is put in front
//! of the rest. Both sides decode the same bytes with the same library, so that they cannot read two different routes in one message.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use holdfast_domain::Reason;
use holdfast_proto::module::v1::Route;
use http_body::{Body as _, Frame, SizeHint};
use prost::Message as _;
use tonic::{Status, body::Body};

use crate::errors::Refusal;

const HEADER_BYTES: usize = 5;

/// How long a caller may take to send its first message.
const PATIENCE: Duration = Duration::from_secs(10);

/// The part of a request that every module's request has.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(message, optional, tag = "1")]
    route: Option<Route>,
}

/// Reads the route off the first message. The body must be bounded already.
///
/// # Errors
/// `Malformed` for a request without a first message, with a compressed one, or one without a route; what the body's own bound says.
pub(super) async fn route(body: Body) -> Result<(Route, Body), Refusal> {
    let mut reading = std::pin::pin!(read(body));
    // Most are there before anybody asks, and need no timer.
    if let Poll::Ready(read) = futures::poll!(&mut reading) {
        return read;
    }
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.map_err(|_| malformed("the first message did not come in time"))?
}

async fn read(mut body: Body) -> Result<(Route, Body), Refusal> {
    let mut seen = Seen::Nothing;
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let frame = frame.ok_or_else(|| malformed("the request ends before its first message does"))?;
        let frame = frame
            .map_err(|status| Refusal::from_status(&status).unwrap_or_else(|_| Reason::Malformed.into()))?;
        let data =
            frame.into_data().map_err(|_| malformed("the request ends before its first message does"))?;
        seen.add(data);
        if let Some(message) = message(seen.bytes())? {
            let route = route_of(message)?;
            return Ok((route, Body::new(Replay { first: Some(seen.into_bytes()), rest: body })));
        }
    }
}

/// Reads a body of one message, whole.
///
/// # Errors
/// `Malformed` when it is more than that, or is not there in time; what the body's own bound says.
pub(super) async fn whole(body: Body, patience: Duration) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(patience, read_whole(body)).await;
    read.map_err(|_| malformed("the request did not come in time"))?
}

async fn read_whole(mut body: Body) -> Result<Bytes, Refusal> {
    let mut seen = Seen::Nothing;
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame
            .map_err(|status| Refusal::from_status(&status).unwrap_or_else(|_| Reason::Malformed.into()))?;
        if let Ok(data) = frame.into_data() {
            // Frames without bytes are free for the sender, too.
            if !data.is_empty() {
                seen.add(data);
            }
            // Seen as soon as the first message is over, so that a stream of them is not collected.
            let first = message(seen.bytes())?.map_or(usize::MAX, |first| first.len() + HEADER_BYTES);
            if seen.bytes().len() > first {
                return Err(malformed("a signed request is one message"));
            }
        }
    }
    match message(seen.bytes())? {
        Some(_) => Ok(seen.into_bytes()),
        None => Err(malformed("the request ends before its message does")),
    }
}

/// A body of these bytes.
pub(super) fn again(bytes: Bytes) -> Body {
    Body::new(Replay { first: Some(bytes), rest: Body::empty() })
}

/// What was read so far, in one piece however it came: many small frames cost no more than their bytes. Most first messages come in one
/// frame, which is not copied.
enum Seen {
    Nothing,
    Frame(Bytes),
    Frames(BytesMut),
}

impl Seen {
    fn add(&mut self, data: Bytes) {
        match self {
            Self::Nothing => *self = Self::Frame(data),
            Self::Frame(first) => *self = Self::Frames([&**first, &*data].concat().as_slice().into()),
            Self::Frames(frames) => frames.extend_from_slice(&data),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Frame(frame) => frame,
            Self::Frames(frames) => frames,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Frame(frame) => frame,
            Self::Frames(frames) => frames.freeze(),
        }
    }
}

/// The first message, once it is whole.
fn message(seen: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    let Some((header, after)) = seen.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [compressed, a, b, c, d] = *header;
    if compressed != 0 {
        return Err(malformed("compressed requests are not taken"));
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    Ok(after.get(..length))
}

fn route_of(message: &[u8]) -> Result<Route, Refusal> {
    let envelope = Envelope::decode(message).map_err(|_| malformed("the first message is none"))?;
    envelope.route.ok_or_else(|| malformed("the request has no route"))
}

fn malformed(detail: &'static str) -> Refusal {
    Refusal::new(Reason::Malformed).because(detail)
}

/// A body whose beginning was read before.
struct Replay {
    first: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};
    use proptest::prelude::*;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap();
        [&[0], length.to_be_bytes().as_slice(), message].concat()
    }

    fn body(bytes: &[u8], cut: usize) -> Body {
        let pieces: Vec<_> = bytes
            .chunks(cut)
            .map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        Body::new(StreamBody::new(futures::stream::iter(pieces)))
    }

    #[tokio::test]
    async fn the_route_is_read_and_the_handler_gets_every_byte_however_they_are_cut() {
        let route = Route { map_epoch: 7, group: 3, ..Route::default() };
        let message =
            [Envelope { route: Some(route.clone()) }.encode_to_vec(), vec![0x12, 2, b'h', b'i']].concat();
        let sent = [framed(&message), framed(b"second"), framed(b"")].concat();
        for cut in 1..sent.len() {
            let (read, rest) = super::route(body(&sent, cut)).await.unwrap();
            assert_eq!(read, route);
            assert_eq!(rest.collect().await.unwrap().to_bytes(), sent, "cut {cut}");
        }
    }

    #[tokio::test]
    async fn what_is_no_first_message_with_a_route_is_malformed() {
        let compressed = [vec![1], framed(b"x")[1..].to_vec()].concat();
        let cases = [Vec::new(), framed(b""), framed(b"\xff\xff"), framed(b"abc")[..6].to_vec(), compressed];
        for case in cases {
            let refusal = super::route(body(&case, 3)).await.err().unwrap();
            assert_eq!(refusal.reason(), Reason::Malformed, "{case:?}");
        }
    }

    proptest! {
        #[test]
        fn a_signed_body_is_exactly_one_message(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..20),
                prop::collection::vec(any::<u8>(), 0..40).prop_map(|message| framed(&message)),
                (prop::collection::vec(any::<u8>(), 0..9), 0usize..9).prop_map(|(message, more)| {
                    [framed(&message), vec![0; more]].concat()
                }),
            ],
            cut in 1usize..9,
        ) {
            let is_one = bytes.len() >= 5 && bytes == framed(&bytes[5..]);
            let read = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
                .block_on(super::whole(body(&bytes, cut), PATIENCE));
            prop_assert_eq!(read.as_ref().ok().map(|read| &read[..]), is_one.then_some(&bytes[..]));
        }
    }

    #[tokio::test]
    async fn a_signed_body_does_not_take_for_ever_and_is_not_collected_beyond_its_message() {
        let pending = StreamBody::new(futures::stream::pending::<Result<Frame<Bytes>, Status>>());
        let late = super::whole(Body::new(pending), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(late.reason(), Reason::Malformed);
        let endless =
            futures::stream::repeat_with(|| Ok::<_, Status>(Frame::data(Bytes::from(framed(b"x")))));
        let refused = super::whole(Body::new(StreamBody::new(endless)), PATIENCE).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Malformed);
    }

    #[tokio::test]
    async fn two_routes_in_one_message_are_read_as_the_handler_reads_them() {
        let first = Envelope { route: Some(Route { map_epoch: 1, group: 9, ..Route::default() }) };
        let second = Envelope { route: Some(Route { map_epoch: 2, ..Route::default() }) };
        let both = [first.encode_to_vec(), second.encode_to_vec()].concat();
        let (read, _) = super::route(body(&framed(&both), 64)).await.unwrap();
        assert_eq!(Some(read), Envelope::decode(&*both).unwrap().route);
    }
}
