//! The way from the queue of requests into one connection, which takes them out itself, without a task in between.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures::Stream;
use holdfast_proto::consensus::v1::Frame;
use tokio::sync::mpsc;

use super::pending::Pending;
use super::{Call, fail};

#[derive(Default)]
pub(super) struct Outlet(Arc<Mutex<Gate>>);

/// Shut until the peer has taken the stream: what waits before that was certainly not sent.
#[derive(Default)]
struct Gate {
    flow: Option<Flow>,
    closed: bool,
    /// The connection's.
    waker: Option<Waker>,
}

/// What is sent: a request that is there already, and those that follow.
pub(super) struct Flow {
    next: Option<Call>,
    queue: mpsc::Receiver<Call>,
    pending: Pending,
    request_id: u64,
}

impl Outlet {
    pub(super) fn frames(&self) -> Frames {
        Frames(self.0.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Gate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self, flow: Flow) {
        let mut gate = self.lock();
        gate.flow = Some(flow);
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
    }

    /// Whether nobody holds the link any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().flow.as_ref().is_some_and(|flow| flow.queue.is_closed() && flow.queue.is_empty())
    }

    /// Ends the connection's stream of requests and takes the queue back.
    pub(super) fn close(&self) -> mpsc::Receiver<Call> {
        let mut gate = self.lock();
        gate.closed = true;
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
        // Opened once and closed once; a queue without senders would end the link.
        let Some(Flow { next, queue, .. }) = gate.flow.take() else { return mpsc::channel(1).1 };
        if let Some(call) = next {
            fail(call);
        }
        queue
    }
}

impl Flow {
    pub(super) fn new(first: Call, queue: mpsc::Receiver<Call>, pending: Pending) -> Self {
        Self { next: Some(first), queue, pending, request_id: 0 }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        loop {
            let call = match self.next.take() {
                Some(call) => call,
                None => match ready!(self.queue.poll_recv(cx)) {
                    Some(call) => call,
                    None => return Poll::Ready(None),
                },
            };
            let Call { kind, route, payload, answer } = call;
            if answer.is_closed() {
                continue;
            }
            self.request_id = self.request_id.wrapping_add(1);
            self.pending.add(self.request_id, route, answer);
            return Poll::Ready(Some(Frame {
                group: route.group.0,
                from: route.from.0,
                to: route.to.0,
                request_id: self.request_id,
                kind: kind.into(),
                payload,
            }));
        }
    }
}

/// What one connection sends.
pub(super) struct Frames(Arc<Mutex<Gate>>);

impl Stream for Frames {
    type Item = Frame;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let mut gate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if gate.closed {
            return Poll::Ready(None);
        }
        let polled = gate.flow.as_mut().map_or(Poll::Pending, |flow| flow.poll_frame(cx));
        if polled.is_pending() && !gate.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            gate.waker = Some(cx.waker().clone());
        }
        polled
    }
}
