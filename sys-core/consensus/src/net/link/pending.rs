//! Requests on one connection that wait for their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tonic::Streaming;

use super::{CallError, Route};

/// A stream that says nothing for this long while requests wait is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// From how many on requests that nobody waits for are swept out.
const SWEEP_AT: usize = 1024;

type Answer = oneshot::Sender<Result<Bytes, CallError>>;

#[derive(Clone, Default)]
pub(super) struct Pending(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    requests: HashMap<u64, (Route, Answer)>,
    heard: Option<Instant>,
    closed: bool,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, id: u64, route: Route, answer: Answer) {
        let mut waiting = self.lock();
        if waiting.closed {
            return;
        }
        if waiting.requests.is_empty() {
            waiting.heard = Some(Instant::now());
        }
        if waiting.requests.len() >= SWEEP_AT {
            waiting.requests.retain(|_, (_, answer)| !answer.is_closed());
        }
        waiting.requests.insert(id, (route, answer));
    }

    pub(super) fn is_silent(&self) -> bool {
        let waiting = self.lock();
        !waiting.requests.is_empty() && waiting.heard.is_some_and(|heard| heard.elapsed() > SILENCE)
    }

    /// Dropped senders tell every waiting caller that the connection was lost.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.requests.clear();
    }

    /// Hands answers to who waits for them, until the stream ends.
    pub(super) async fn read(self, mut answers: Streaming<Frame>) {
        while let Ok(Some(frame)) = answers.message().await {
            self.hear(frame);
        }
        self.close();
    }

    fn hear(&self, frame: Frame) {
        let Frame { group, from, to, request_id, kind, payload } = frame;
        let waiting = {
            let mut waiting = self.lock();
            waiting.heard = Some(Instant::now());
            waiting.requests.remove(&request_id)
        };
        let Some((route, answer)) = waiting else { return };
        let expected = Route { group: GroupId(group), from: ReplicaId(to), to: ReplicaId(from) };
        let _ = answer.send(match FrameKind::try_from(kind) {
            Ok(FrameKind::Response) if route == expected => Ok(payload),
            Ok(FrameKind::Refused) => Err(CallError::Refused(refusal(&payload))),
            Ok(FrameKind::Response | FrameKind::Request | FrameKind::Ping | FrameKind::Unspecified)
            | Err(_) => Err(CallError::Malformed),
        });
    }
}

/// A refusal's code, made fit for a log.
fn refusal(payload: &[u8]) -> String {
    payload.iter().take(32).filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}
