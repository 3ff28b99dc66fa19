//! The attested join and its renewal, from the voter's side: JoinInit → Challenge → Proof → Grant, Pending or Denied.
//!
//! A challenge lives in the task that serves its stream, so it is bound to that stream and gone after one attempt. Evidence is
//! verified off the async threads; what a quorum must agree on is decided by the state.

mod admit;
mod evidence;
mod grant;
mod rejections;
mod session;

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _};
use holdfast_certs::Exporter;
use holdfast_domain::{EkHash, NodeId, NodeRole, Reason};
use holdfast_proto::registry::v1::{
    Denied, JoinInit, JoinReply, JoinRequest, Proof, enrolment_server::Enrolment, join_reply, join_request,
};
use holdfast_sys_core::{
    Refusal,
    attempts::{Attempts, Origin},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{limits, machine, peer};
use crate::core::Core;
use rejections::{Rejected, Rejections};
use session::Offer;

/// The service. Clones share one.
#[derive(Clone)]
pub struct EnrolmentService(Arc<Shared>);

/// What all joins share.
struct Shared {
    core: Arc<Core>,
    challenge_life: Duration,
    by_address: Attempts<Origin>,
    by_ek: Attempts<EkHash>,
    joins: Semaphore,
    verifications: Semaphore,
    rejections: Arc<Rejections>,
}

/// One stream: over which connection, and to what end.
#[derive(Debug, Clone, Copy)]
struct Visit {
    address: IpAddr,
    exporter: Exporter,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Of whoever it may be.
    Join,
    /// Of a member, by its certificate.
    Renew(NodeRole, NodeId),
}

/// Replies of one stream.
pub(crate) type Replies = Pin<Box<dyn Stream<Item = Result<JoinReply, Status>> + Send>>;

impl EnrolmentService {
    /// Serves from a voter's state. Must be called within a runtime.
    pub fn new(core: Arc<Core>) -> Self {
        Self::with_challenge_life(core, limits::CHALLENGE_LIFE)
    }

    fn with_challenge_life(core: Arc<Core>, challenge_life: Duration) -> Self {
        Self(Arc::new(Shared {
            core,
            challenge_life,
            by_address: Attempts::new(limits::JOINS_PER_ADDRESS),
            by_ek: Attempts::new(limits::JOINS_PER_EK),
            joins: Semaphore::new(limits::MAX_JOINS),
            verifications: Semaphore::new(limits::MAX_VERIFICATIONS),
            rejections: Rejections::start(),
        }))
    }

    fn open(&self, visit: Visit, requests: Streaming<JoinRequest>) -> Response<Replies> {
        let (replies, receiver) = mpsc::channel(2);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move { shared.serve(visit, requests, replies).await });
        Response::new(Box::pin(ReceiverStream::new(receiver)))
    }
}

#[tonic::async_trait]
impl Enrolment for EnrolmentService {
    type JoinStream = Replies;
    type RenewStream = Replies;

    async fn join(&self, request: Request<Streaming<JoinRequest>>) -> Result<Response<Replies>, Status> {
        let visit = visit(&request, Kind::Join)?;
        Ok(self.open(visit, request.into_inner()))
    }

    async fn renew(&self, request: Request<Streaming<JoinRequest>>) -> Result<Response<Replies>, Status> {
        let (role, node) = machine(&request)?;
        let visit = visit(&request, Kind::Renew(role, node))?;
        Ok(self.open(visit, request.into_inner()))
    }
}

fn visit<T>(request: &Request<T>, kind: Kind) -> Result<Visit, Refusal> {
    let peer = peer(request)?;
    Ok(Visit { address: peer.addr.ip(), exporter: peer.exporter, kind })
}

impl Shared {
    /// Serves one stream to its end; whatever happens, there is one last reply.
    async fn serve<S>(
        self: &Arc<Self>,
        visit: Visit,
        requests: S,
        replies: mpsc::Sender<Result<JoinReply, Status>>,
    ) where
        S: Stream<Item = Result<JoinRequest, Status>> + Unpin + Send,
    {
        let last = match self.exchange(visit, requests, &replies).await {
            Ok(message) => Ok(JoinReply { message: Some(message) }),
            Err(rejected) => {
                let reason = rejected.reason;
                self.rejections.record(&rejected, visit.address);
                let denied = join_reply::Message::Denied(Denied { reason: reason.code().to_owned() });
                if reason == Reason::Internal {
                    Err(Refusal::new(reason).because(rejected.detail).into())
                } else {
                    Ok(JoinReply { message: Some(denied) })
                }
            }
        };
        // Fails only when the machine is gone.
        let _ = replies.send(last).await;
    }

    async fn exchange<S>(
        self: &Arc<Self>,
        visit: Visit,
        mut requests: S,
        replies: &mpsc::Sender<Result<JoinReply, Status>>,
    ) -> Result<join_reply::Message, Rejected>
    where
        S: Stream<Item = Result<JoinRequest, Status>> + Unpin + Send,
    {
        let counted = self.by_address.take(visit.address.into(), Instant::now());
        counted.map_err(|_| Rejected::of(Reason::RateLimited, "too many joins from one address"))?;
        let _slot = self
            .joins
            .try_acquire()
            .map_err(|_| Rejected::of(Reason::Overloaded, "too many joins at once"))?;
        let init = first(next(&mut requests, limits::INIT_TIMEOUT).await?)?;
        let (offer, challenge) = Offer::make(self, visit, init).await?;
        let challenge = join_reply::Message::Challenge(challenge);
        if replies.send(Ok(JoinReply { message: Some(challenge) })).await.is_err() {
            return Err(Rejected::of(Reason::ChallengeUnknown, "the machine left"));
        }
        let answer = next(&mut requests, self.challenge_life).await;
        let proof = second(answer.map_err(|rejected| rejected.about(offer.claim()))?)?;
        let claim = offer.claim().clone();
        let proven = offer.verify(self, proof).await?;
        self.settle(visit, proven).await.map_err(|rejected| rejected.about(&claim))
    }
}

async fn next<S>(requests: &mut S, patience: Duration) -> Result<join_request::Message, Rejected>
where
    S: Stream<Item = Result<JoinRequest, Status>> + Unpin + Send,
{
    match tokio::time::timeout(patience, requests.next()).await {
        Ok(Some(Ok(JoinRequest { message: Some(message) }))) => Ok(message),
        Ok(Some(Ok(JoinRequest { message: None }))) => {
            Err(Rejected::of(Reason::Malformed, "an empty message"))
        }
        Ok(Some(Err(status))) => Err(Rejected::of(Reason::Malformed, status.message())),
        Ok(None) => Err(Rejected::of(Reason::Malformed, "the stream ended early")),
        Err(_) => Err(Rejected::of(Reason::ChallengeUnknown, "the machine was too slow")),
    }
}

fn first(message: join_request::Message) -> Result<JoinInit, Rejected> {
    match message {
        join_request::Message::Init(init) => Ok(init),
        join_request::Message::Proof(_) => {
            Err(Rejected::of(Reason::ChallengeUnknown, "a proof without a challenge"))
        }
    }
}

fn second(message: join_request::Message) -> Result<Proof, Rejected> {
    match message {
        join_request::Message::Proof(proof) => Ok(proof),
        join_request::Message::Init(_) => Err(Rejected::of(Reason::Malformed, "a second beginning")),
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! Streams without a connection.

    pub(crate) use super::admit::joining;
    use super::*;

    impl EnrolmentService {
        pub(crate) fn impatient(core: Arc<Core>) -> Self {
            Self::with_challenge_life(core, Duration::from_millis(50))
        }

        pub(crate) fn join_from(&self, exporter: [u8; 32], requests: mpsc::Receiver<JoinRequest>) -> Replies {
            self.open_test(exporter, Kind::Join, requests)
        }

        pub(crate) fn renew_from(
            &self,
            exporter: [u8; 32],
            (role, node): (NodeRole, NodeId),
            requests: mpsc::Receiver<JoinRequest>,
        ) -> Replies {
            self.open_test(exporter, Kind::Renew(role, node), requests)
        }

        fn open_test(
            &self,
            exporter: [u8; 32],
            kind: Kind,
            requests: mpsc::Receiver<JoinRequest>,
        ) -> Replies {
            let (replies, receiver) = mpsc::channel(2);
            let visit = Visit { address: [127, 0, 0, 1].into(), exporter: Exporter::new(exporter), kind };
            let (shared, requests) = (Arc::clone(&self.0), ReceiverStream::new(requests).map(Ok));
            tokio::spawn(async move { shared.serve(visit, requests, replies).await });
            Box::pin(ReceiverStream::new(receiver))
        }
    }
}
