//! The stream to one peer process, shared by all groups: bounded, reconnecting, every request with its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::consensus::v1::raft_client::RaftClient;
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::wire::{self, Ping, Pong};
use crate::{PeerConnector, PeerTarget, limits};

/// A stream that says nothing for this long while requests wait is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// A connection is replaced at this age, so that it does not outlive the certificates that it was made with.
const MAX_AGE: Duration = Duration::from_secs(600);
/// From how many on requests that nobody waits for are swept out.
const SWEEP_AT: usize = 1024;

/// A request without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It was not sent.
    #[error("the peer cannot be reached")]
    NotSent,
    /// It may have arrived.
    #[error("the connection was lost before the answer")]
    Lost,
    /// No answer in time; it may have arrived.
    #[error("no answer in time")]
    Timeout,
    /// The peer refused it before touching any state.
    #[error("refused: {0}")]
    Refused(String),
    /// The answer makes no sense.
    #[error("the answer makes no sense")]
    Malformed,
}

/// From whom to whom a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) group: GroupId,
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
}

/// The route of pings: from process to process.
const NO_GROUP: Route = Route { group: GroupId(0), from: ReplicaId(0), to: ReplicaId(0) };

struct Call {
    kind: FrameKind,
    route: Route,
    payload: Bytes,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

/// Sends requests to one peer process.
pub(crate) struct Link {
    calls: mpsc::Sender<Call>,
}

impl Link {
    /// Sends a request and waits for its answer.
    pub(crate) async fn call(
        &self,
        route: Route,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        self.ask(FrameKind::Request, route, payload, patience).await
    }

    /// Asks whether the process lives.
    pub(crate) async fn ping(&self, patience: Duration) -> Result<Pong, CallError> {
        let ping = wire::encode(&Ping).map_err(|_| CallError::NotSent)?;
        let pong = self.ask(FrameKind::Ping, NO_GROUP, ping, patience).await?;
        wire::decode(&pong).map_err(|_| CallError::Malformed)
    }

    async fn ask(
        &self,
        kind: FrameKind,
        route: Route,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + patience;
        let (answer, answered) = oneshot::channel();
        let call = Call { kind, route, payload, answer };
        match timeout_at(deadline, self.calls.send(call)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(CallError::NotSent),
        }
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Lost),
            Err(_) => Err(CallError::Timeout),
        }
    }
}

/// The links of a process. A link lives while somebody holds it.
pub(crate) struct Links {
    connector: Arc<dyn PeerConnector>,
    links: Mutex<Vec<(PeerTarget, Weak<Link>)>>,
}

impl Links {
    pub(crate) fn new(connector: Arc<dyn PeerConnector>) -> Self {
        Self { connector, links: Mutex::default() }
    }

    /// The link to a process, started when first wanted.
    pub(crate) fn to(&self, target: &PeerTarget) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|(_, link)| link.strong_count() > 0);
        let alive = links.iter().find(|(known, _)| known == target).and_then(|(_, link)| link.upgrade());
        if let Some(link) = alive {
            return link;
        }
        let (calls, queue) = mpsc::channel(limits::FRAME_QUEUE);
        let link = Arc::new(Link { calls });
        links.push((target.clone(), Arc::downgrade(&link)));
        tokio::spawn(run(target.clone(), self.connector.clone(), queue));
        link
    }
}

/// Connects whenever there is something to send; ends with its [`Link`].
async fn run(target: PeerTarget, connector: Arc<dyn PeerConnector>, mut queue: mpsc::Receiver<Call>) {
    let mut pause = limits::RECONNECT_MIN;
    while let Some(first) = queue.recv().await {
        let connected = timeout(limits::CONNECT_TIMEOUT, connect(&target, &*connector)).await;
        match connected.unwrap_or_else(|_| Err("timed out".into())) {
            Ok((frames, answers)) => {
                tracing::debug!(peer = %target.id, "peer_connected");
                let since = Instant::now();
                serve(first, &mut queue, frames, answers).await;
                tracing::debug!(peer = %target.id, "peer_lost");
                if since.elapsed() > limits::RECONNECT_MAX {
                    pause = limits::RECONNECT_MIN;
                    continue;
                }
            }
            Err(error) => {
                tracing::debug!(peer = %target.id, error, "peer_unreachable");
                fail(first);
            }
        }
        let until = Instant::now() + pause;
        // Those who ask meanwhile hear at once that the peer is away.
        while let Ok(call) = timeout_at(until, queue.recv()).await {
            match call {
                Some(call) => fail(call),
                None => return,
            }
        }
        pause = pause.saturating_mul(2).min(limits::RECONNECT_MAX);
    }
}

fn fail(call: Call) {
    let _ = call.answer.send(Err(CallError::NotSent));
}

async fn connect(
    target: &PeerTarget,
    connector: &dyn PeerConnector,
) -> Result<(mpsc::Sender<Frame>, Streaming<Frame>), String> {
    let channel =
        connector.connect(target.clone()).await.map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
    let mut client = RaftClient::new(channel)
        .max_decoding_message_size(limits::MAX_FRAME_BYTES.saturating_add(1024))
        .max_encoding_message_size(limits::MAX_FRAME_BYTES.saturating_add(1024));
    let (frames, outgoing) = mpsc::channel(limits::FRAME_QUEUE);
    let answers = client.stream(ReceiverStream::new(outgoing)).await.map_err(|status| status.to_string())?;
    Ok((frames, answers.into_inner()))
}

/// Requests that wait for their answers.
#[derive(Default)]
struct Pending {
    waiting: HashMap<u64, (Route, oneshot::Sender<Result<Bytes, CallError>>)>,
    heard: Option<Instant>,
    closed: bool,
}

type SharedPending = Arc<Mutex<Pending>>;

fn lock(pending: &SharedPending) -> std::sync::MutexGuard<'_, Pending> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends until the stream breaks. Answers are read by a task of their own: a writer that waits for room must not keep
/// the answers from being read, or both ends could wait for each other.
async fn serve(
    first: Call,
    queue: &mut mpsc::Receiver<Call>,
    frames: mpsc::Sender<Frame>,
    answers: Streaming<Frame>,
) {
    let pending = SharedPending::default();
    let opened = Instant::now();
    let mut reader = tokio::spawn(read(answers, pending.clone()));
    let mut request_id = 0_u64;
    let mut next = Some(first);
    let mut check = tokio::time::interval(Duration::from_secs(1));
    loop {
        if let Some(Call { kind, route, payload, answer }) = next.take() {
            request_id = request_id.wrapping_add(1);
            if answer.is_closed() {
                continue;
            }
            add(&pending, request_id, route, answer);
            let frame = Frame {
                group: route.group.0,
                from: route.from.0,
                to: route.to.0,
                request_id,
                kind: kind.into(),
                payload,
            };
            tokio::select! {
                sent = frames.send(frame) => if sent.is_err() { break },
                _ = &mut reader => return,
            }
        }
        tokio::select! {
            call = queue.recv() => match call {
                Some(call) => next = Some(call),
                None => break,
            },
            _ = &mut reader => return,
            _ = check.tick() => {
                if silent(&pending) {
                    break;
                }
                if opened.elapsed() > MAX_AGE {
                    // What still waits is answered: the other end closes once it has answered everything.
                    return;
                }
            }
        }
    }
    reader.abort();
    // Dropped senders tell every waiting caller that the connection was lost.
    lock(&pending).waiting.clear();
}

fn add(pending: &SharedPending, id: u64, route: Route, answer: oneshot::Sender<Result<Bytes, CallError>>) {
    let mut pending = lock(pending);
    if pending.closed {
        return;
    }
    if pending.waiting.is_empty() {
        pending.heard = Some(Instant::now());
    }
    if pending.waiting.len() >= SWEEP_AT {
        pending.waiting.retain(|_, (_, answer)| !answer.is_closed());
    }
    pending.waiting.insert(id, (route, answer));
}

fn silent(pending: &SharedPending) -> bool {
    let pending = lock(pending);
    !pending.waiting.is_empty() && pending.heard.is_some_and(|heard| heard.elapsed() > SILENCE)
}

async fn read(mut answers: Streaming<Frame>, pending: SharedPending) {
    while let Ok(Some(frame)) = answers.message().await {
        let Frame { group, from, to, request_id, kind, payload } = frame;
        let waiting = {
            let mut pending = lock(&pending);
            pending.heard = Some(Instant::now());
            pending.waiting.remove(&request_id)
        };
        let Some((route, answer)) = waiting else { continue };
        let expected = Route { group: GroupId(group), from: ReplicaId(to), to: ReplicaId(from) };
        let result = match FrameKind::try_from(kind) {
            Ok(FrameKind::Response) if route == expected => Ok(payload),
            Ok(FrameKind::Refused) => Err(CallError::Refused(refusal(&payload))),
            Ok(FrameKind::Response | FrameKind::Request | FrameKind::Ping | FrameKind::Unspecified)
            | Err(_) => Err(CallError::Malformed),
        };
        let _ = answer.send(result);
    }
    let mut pending = lock(&pending);
    pending.closed = true;
    pending.waiting.clear();
}

/// A refusal's code, made fit for a log.
fn refusal(payload: &[u8]) -> String {
    payload.iter().take(32).filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}
