//! The stream to one peer process, shared by all groups: bounded, reconnecting, every request with its answer.

mod outlet;
mod pending;

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId};
use holdfast_proto::consensus::v1::raft_client::RaftClient;
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Streaming;

use self::outlet::{Flow, Outlet};
use self::pending::Pending;
use super::wire::{self, Ping, Pong};
use crate::{PeerConnector, PeerTarget, limits};

/// A connection is replaced at this age, so that it does not outlive the certificates that it was made with.
const MAX_AGE: Duration = Duration::from_secs(600);

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
        let since = Instant::now();
        let (served, back) = serve(&target, &*connector, first, queue).await;
        queue = back;
        match served {
            Ok(()) => {
                tracing::debug!(peer = %target.id, "peer_lost");
                if since.elapsed() > limits::RECONNECT_MAX {
                    pause = limits::RECONNECT_MIN;
                    continue;
                }
            }
            Err(error) => tracing::debug!(peer = %target.id, error, "peer_unreachable"),
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

/// Connects and sends until the stream breaks. Gives the queue back.
async fn serve(
    target: &PeerTarget,
    connector: &dyn PeerConnector,
    first: Call,
    queue: mpsc::Receiver<Call>,
) -> (Result<(), String>, mpsc::Receiver<Call>) {
    let outlet = Outlet::default();
    match timeout(limits::CONNECT_TIMEOUT, connect(target, connector, &outlet)).await {
        Ok(Ok(answers)) => {
            tracing::debug!(peer = %target.id, "peer_connected");
            let pending = Pending::default();
            outlet.open(Flow::new(first, queue, pending.clone()));
            attend(answers, &pending, &outlet).await;
            (Ok(()), outlet.close())
        }
        Ok(Err(error)) => {
            fail(first);
            (Err(error), queue)
        }
        Err(_) => {
            fail(first);
            (Err("timed out".into()), queue)
        }
    }
}

async fn connect(
    target: &PeerTarget,
    connector: &dyn PeerConnector,
    outlet: &Outlet,
) -> Result<Streaming<Frame>, String> {
    let channel =
        connector.connect(target.clone()).await.map_err(|error| match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })?;
    let mut client = RaftClient::new(channel)
        .max_decoding_message_size(limits::MAX_FRAME_BYTES.saturating_add(1024))
        .max_encoding_message_size(limits::MAX_FRAME_BYTES.saturating_add(1024));
    let answers = client.stream(outlet.frames()).await.map_err(|status| status.to_string())?;
    Ok(answers.into_inner())
}

/// Reads answers until the stream breaks, falls silent or grows old. They are read by a task of their own: what a peer does not take from
/// us must not keep its answers from being read, or both ends could wait for each other.
async fn attend(answers: Streaming<Frame>, pending: &Pending, outlet: &Outlet) {
    let opened = Instant::now();
    let mut reader = tokio::spawn(pending.clone().read(answers));
    let mut check = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = &mut reader => return,
            _ = check.tick() => {
                if pending.is_silent() || outlet.is_abandoned() {
                    reader.abort();
                    return pending.close();
                }
                if opened.elapsed() > MAX_AGE {
                    // What still waits is answered: the other end closes once it has answered everything.
                    return;
                }
            }
        }
    }
}
