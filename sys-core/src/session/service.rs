//! The service: challenge, sign in, sign out.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_certs::Peer;
use holdfast_domain::Reason;
use holdfast_proto::session::v1::{
    ChallengeReply, ChallengeRequest, SignInReply, SignInRequest, SignOutReply, SignOutRequest,
    sessions_server,
};
use tonic::{Request, Response, Status};

use super::{SessionSettings, Sessions, limits::MAX_SIGN_IN_BYTES, live::Session, sessions::Opened};
use crate::errors::Refusal;

/// The service.
pub(crate) struct SessionsService(Sessions);

impl SessionsService {
    pub(crate) fn server(sessions: Sessions) -> sessions_server::SessionsServer<Self> {
        sessions_server::SessionsServer::new(Self(sessions)).max_decoding_message_size(MAX_SIGN_IN_BYTES)
    }
}

#[tonic::async_trait]
impl sessions_server::Sessions for SessionsService {
    async fn challenge(
        &self,
        request: Request<ChallengeRequest>,
    ) -> Result<Response<ChallengeReply>, Status> {
        let nonce = self.0.challenge(peer(&request)?)?;
        let SessionSettings { cluster, node, .. } = self.0.settings();
        Ok(Response::new(ChallengeReply {
            cluster_id: Bytes::copy_from_slice(cluster.as_bytes()),
            node_id: Bytes::copy_from_slice(node.as_bytes()),
            nonce: Bytes::copy_from_slice(&nonce),
            server_time_ms: self.0.now().0,
        }))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInReply>, Status> {
        let peer = peer(&request)?.clone();
        let opened = self.0.sign_in(&peer, request.into_inner());
        record(&peer, &opened);
        let Opened { secret, expires, client: _ } = opened?;
        Ok(Response::new(SignInReply { session: Bytes::copy_from_slice(&secret), expires_ms: expires.0 }))
    }

    async fn sign_out(&self, request: Request<SignOutRequest>) -> Result<Response<SignOutReply>, Status> {
        let session = request.extensions().get::<Arc<Session>>();
        let none = || Refusal::new(Reason::Malformed).because("the call is made in no session");
        self.0.end(session.ok_or_else(none)?);
        Ok(Response::new(SignOutReply {}))
    }
}

fn peer<T>(request: &Request<T>) -> Result<&Peer, Refusal> {
    let missing = || Refusal::new(Reason::Internal).because("the connection says nothing of its peer");
    request.extensions().get::<Peer>().ok_or_else(missing)
}

/// The audit event of a sign-in, beside the one that says that anybody may try.
fn record(peer: &Peer, opened: &Result<Opened, Refusal>) {
    let address = tracing::field::display(peer.addr);
    match opened {
        Ok(Opened { client, expires, secret: _ }) => {
            let caller = format!("client/{client}");
            tracing::info!(target: "audit", decision = "session", caller, address, expires_ms = expires.0);
        }
        Err(refusal) => {
            let reason = refusal.reason().code();
            tracing::info!(target: "audit", decision = "no_session", caller = "anonymous", address, reason);
        }
    }
}
