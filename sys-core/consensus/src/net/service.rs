//! The server side of the stream.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use holdfast_domain::{GroupId, ReplicaId, UnixMs};
use holdfast_proto::consensus::v1::raft_server::Raft;
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::wire::{self, Ping};
use super::{Refusal, gate, inbound};
use crate::liveness::Liveness;
use crate::replica::Replica;
use crate::{AuthenticatedPeer, PeerAuth, limits};

/// The replicas that run in this process.
pub(crate) type Hosted = Arc<RwLock<BTreeMap<GroupId, Arc<Replica>>>>;

/// Takes the streams of peers and checks each frame on them. Made by [`crate::Groups::service`].
pub struct RaftService {
    hosted: Hosted,
    auth: Arc<dyn PeerAuth>,
    liveness: Arc<Liveness>,
    closing: watch::Receiver<bool>,
}

impl RaftService {
    /// Streams end when `closing` says so.
    pub(crate) fn new(
        hosted: Hosted,
        auth: Arc<dyn PeerAuth>,
        liveness: Arc<Liveness>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        Self { hosted, auth, liveness, closing }
    }
}

#[tonic::async_trait]
impl Raft for RaftService {
    type StreamStream = BoxStream<'static, Result<Frame, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<Frame>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let peer = self
            .auth
            .authenticate(request.extensions())
            .ok_or_else(|| Status::unauthenticated("a registry's or a node's certificate is needed"))?;
        if *self.closing.borrow() {
            return Err(Status::unavailable("this process shuts down"));
        }
        let mut closing = self.closing.clone();
        let session = Session {
            peer,
            hosted: self.hosted.clone(),
            auth: self.auth.clone(),
            liveness: self.liveness.clone(),
            frames: request.into_inner(),
            handled: FuturesUnordered::new(),
            closed: async move {
                let _ = closing.wait_for(|closing| *closing).await;
            }
            .boxed(),
        };
        Ok(Response::new(futures::stream::unfold(session, Session::next).boxed()))
    }
}

/// One peer's stream: its answers. Whoever sends them asks for the next, and so reads and handles what the peer sent, with no task in
/// between.
struct Session {
    peer: AuthenticatedPeer,
    hosted: Hosted,
    auth: Arc<dyn PeerAuth>,
    liveness: Arc<Liveness>,
    frames: Streaming<Frame>,
    /// Entries in the order of their arrival, which is how they reach the library.
    handled: FuturesUnordered<BoxFuture<'static, Option<Frame>>>,
    closed: BoxFuture<'static, ()>,
}

impl Session {
    async fn next(mut self) -> Option<(Result<Frame, Status>, Self)> {
        loop {
            // Without room the stream is not read on: the peer's own queue fills, then its callers hear of it.
            let has_room = self.handled.len() < limits::MAX_PEER_REQUESTS;
            let frame = tokio::select! {
                biased;
                // First, or a busy peer could keep this process up.
                () = &mut self.closed => break,
                Some(handled) = self.handled.next() => match handled {
                    Some(answer) => return Some((Ok(answer), self)),
                    None => continue,
                },
                frame = self.frames.message(), if has_room => frame,
            };
            let Ok(Some(frame)) = frame else { break };
            if let Some(answer) = self.take(frame) {
                return Some((Ok(answer), self));
            }
        }
        // The peer asks no more, or this process shuts down. What was asked is answered.
        loop {
            if let Some(answer) = self.handled.next().await? {
                return Some((Ok(answer), self));
            }
        }
    }

    /// Begins to handle a frame, or answers it.
    fn take(&self, frame: Frame) -> Option<Frame> {
        if FrameKind::try_from(frame.kind) == Ok(FrameKind::Ping) {
            let pong = self.pong(&frame);
            return Some(answered(&self.peer, &frame, pong));
        }
        let replica = match self.admit(&frame) {
            Ok(replica) => replica,
            Err(refusal) => return Some(answered(&self.peer, &frame, Err(refusal))),
        };
        let (peer, from) = (self.peer, ReplicaId(frame.from));
        self.handled.push(match inbound::appended(&replica, from, &frame.payload) {
            Some(appended) => async move { Some(answered(&peer, &frame, appended.await)) }.boxed(),
            None => {
                // Goes on when the stream breaks: half a piece of a snapshot would be none.
                let handled = tokio::spawn(async move {
                    let answer = inbound::handle(&replica, from, frame.payload.clone()).await;
                    answered(&peer, &frame, answer)
                });
                // Without an answer where the process goes down.
                async move { handled.await.ok() }.boxed()
            }
        });
        None
    }

    fn pong(&self, frame: &Frame) -> Result<Bytes, Refusal> {
        if !self.auth.still_trusted(&self.peer) {
            return Err(Refusal::NotTrusted);
        }
        let Ping = wire::decode(&frame.payload).map_err(|_| Refusal::Malformed)?;
        wire::encode(&self.liveness.pong(self.peer.id)).map_err(|_| Refusal::Malformed)
    }

    /// Everything that must hold before a replica sees the frame's content.
    fn admit(&self, frame: &Frame) -> Result<Arc<Replica>, Refusal> {
        let Frame { group, from, to, request_id: _, kind, payload } = frame;
        if FrameKind::try_from(*kind) != Ok(FrameKind::Request) || payload.len() > limits::MAX_FRAME_BYTES {
            return Err(Refusal::Malformed);
        }
        if !self.auth.still_trusted(&self.peer) {
            return Err(Refusal::NotTrusted);
        }
        let group = GroupId(*group);
        let replica = self
            .hosted
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&group)
            .cloned()
            .ok_or(Refusal::UnknownGroup)?;
        if replica.id() != ReplicaId(*to) {
            return Err(Refusal::WrongReplica);
        }
        let now = now();
        replica
            .peers()
            .with_member(ReplicaId(*from), |member| gate::check_sender(group, member, &self.peer, now))?;
        Ok(replica)
    }
}

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn answered(peer: &AuthenticatedPeer, request: &Frame, answer: Result<Bytes, Refusal>) -> Frame {
    let (kind, payload) = match answer {
        Ok(payload) => (FrameKind::Response, payload),
        Err(refusal) => {
            // A replica that starts or was rolled back is asked again and again until it is proven or replaced.
            if refusal == Refusal::Unproven {
                tracing::debug!(
                    group = request.group,
                    from = request.from,
                    to = request.to,
                    "raft_frame_to_unproven"
                );
            } else {
                tracing::warn!(
                    peer = %peer.id, group = request.group, from = request.from, to = request.to,
                    reason = %refusal, "raft_frame_refused"
                );
            }
            (FrameKind::Refused, refusal.code().into())
        }
    };
    Frame {
        group: request.group,
        from: request.to,
        to: request.from,
        request_id: request.request_id,
        kind: kind.into(),
        payload,
    }
}
