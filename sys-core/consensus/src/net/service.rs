//! The server side of the stream.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use holdfast_domain::{GroupId, ReplicaId, UnixMs};
use holdfast_proto::consensus::v1::raft_server::Raft;
use holdfast_proto::consensus::v1::{Frame, FrameKind};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
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
    type StreamStream = ReceiverStream<Result<Frame, Status>>;

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
        let (answers, outgoing) = mpsc::channel(limits::FRAME_QUEUE);
        let session = Session {
            peer,
            hosted: self.hosted.clone(),
            auth: self.auth.clone(),
            liveness: self.liveness.clone(),
            answers,
        };
        tokio::spawn(session.run(request.into_inner(), self.closing.clone()));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// One peer's stream.
struct Session {
    peer: AuthenticatedPeer,
    hosted: Hosted,
    auth: Arc<dyn PeerAuth>,
    liveness: Arc<Liveness>,
    answers: mpsc::Sender<Result<Frame, Status>>,
}

impl Session {
    async fn run(self, mut frames: Streaming<Frame>, mut closing: watch::Receiver<bool>) {
        let room = Arc::new(Semaphore::new(limits::MAX_PEER_REQUESTS));
        loop {
            let frame = tokio::select! {
                frame = frames.message() => match frame {
                    Ok(Some(frame)) => frame,
                    Ok(None) | Err(_) => return,
                },
                () = self.answers.closed() => return,
                _ = closing.wait_for(|closing| *closing) => return,
            };
            if FrameKind::try_from(frame.kind) == Ok(FrameKind::Ping) {
                if self.answers.send(Ok(answered(&self.peer, &frame, self.pong(&frame)))).await.is_err() {
                    return;
                }
                continue;
            }
            match self.admit(&frame) {
                Ok(replica) => {
                    // Without room the stream is not read on: the peer's own queue fills, then its callers hear of it.
                    let Ok(permit) = room.clone().acquire_owned().await else { return };
                    let (answers, peer) = (self.answers.clone(), self.peer);
                    tokio::spawn(async move {
                        let answer =
                            inbound::handle(&replica, ReplicaId(frame.from), frame.payload.clone()).await;
                        let _ = answers.send(Ok(answered(&peer, &frame, answer))).await;
                        drop(permit);
                    });
                }
                Err(refusal) => {
                    if self.answers.send(Ok(answered(&self.peer, &frame, Err(refusal)))).await.is_err() {
                        return;
                    }
                }
            }
        }
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
        gate::check_sender(group, replica.member(ReplicaId(*from)).as_ref(), &self.peer, now())?;
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
