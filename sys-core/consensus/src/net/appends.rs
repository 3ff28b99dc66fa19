//! A leader's entries on their way to one member: several messages in flight, answered in their order.
//!
//! The library asks for a message of its own whenever the commit index grew. While the group is busy the next entries carry it anyway: a
//! message without entries is held back for a moment, and dropped when a later one says what it says. The answer to the later one
//! answers both, as the library takes it for everything up to there.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, Fuse, FuturesOrdered};
use futures::{FutureExt as _, Stream, StreamExt as _};
use openraft::error::RPCError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult};
use tokio::time::{Instant, Sleep, sleep_until};

use super::client::PeerCall;
use crate::limits;
use crate::types::Types;

/// How long a message waits for one that says more: shorter than whoever reads at a follower would notice.
const HOLD: Duration = Duration::from_millis(2);

type Answer = Result<StreamAppendResult<Types>, RPCError<Types>>;

/// The answers to what `input` says, until it ends or one of them ends it.
pub(super) fn send<'s, S>(peer: &'s PeerCall, input: S) -> BoxStream<'s, Answer>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    let appends = Appends {
        peer,
        input: input.fuse(),
        flights: FuturesOrdered::new(),
        held: None,
        alarm: None,
        ended: false,
    };
    futures::stream::unfold(appends, Appends::next).boxed()
}

struct Appends<'s, S> {
    peer: &'s PeerCall,
    input: Fuse<S>,
    flights: FuturesOrdered<BoxFuture<'s, (Answer, bool)>>,
    /// With when it goes at the latest.
    held: Option<(AppendEntriesRequest<Types>, Instant)>,
    /// One that was set stays set, as setting it anew for each message costs more: it may ring too early.
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
}

impl<S> Appends<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    async fn next(mut self) -> Option<(Answer, Self)> {
        while !self.ended {
            let has_room = !self.input.is_done() && self.flights.len() < limits::MAX_APPENDS_IN_FLIGHT;
            tokio::select! {
                biased;
                Some((answer, goes_on)) = self.flights.next() => {
                    self.ended = !goes_on;
                    return Some((answer, self));
                }
                request = self.input.next(), if has_room => match request {
                    Some(request) if request.entries.is_empty() => self.hold(request),
                    Some(request) => {
                        self.held = None;
                        self.send(request);
                    }
                    None => self.send_held(),
                },
                () = ring(&mut self.alarm), if self.held.is_some() => self.rang(),
                else => return None,
            }
        }
        None
    }

    fn hold(&mut self, request: AppendEntriesRequest<Types>) {
        let latest = Instant::now() + HOLD;
        self.held = Some((request, latest));
        if self.alarm.is_none() {
            self.alarm = Some(Box::pin(sleep_until(latest)));
        }
    }

    fn rang(&mut self) {
        match &self.held {
            Some((_, latest)) if *latest > Instant::now() => {
                self.alarm = Some(Box::pin(sleep_until(*latest)))
            }
            Some(_) | None => {
                self.alarm = None;
                self.send_held();
            }
        }
    }

    fn send_held(&mut self) {
        if let Some((request, _)) = self.held.take() {
            self.send(request);
        }
    }

    fn send(&mut self, request: AppendEntriesRequest<Types>) {
        let peer = self.peer;
        self.flights.push_back(
            async move {
                let prev = request.prev_log_id;
                let last = request.entries.last().map(|entry| entry.log_id).or(prev);
                match peer.append(request).await {
                    Ok(answer) => {
                        // Less than all of it: the library begins anew from there.
                        let goes_on = match &answer {
                            AppendEntriesResponse::Success => true,
                            AppendEntriesResponse::PartialSuccess(upto) => *upto == last,
                            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => false,
                        };
                        (Ok(answer.into_stream_result(prev, last)), goes_on)
                    }
                    Err(error) => (Err(error), false),
                }
            }
            .boxed(),
        );
    }
}

async fn ring(alarm: &mut Option<Pin<Box<Sleep>>>) {
    match alarm {
        Some(alarm) => alarm.await,
        None => pending().await,
    }
}
