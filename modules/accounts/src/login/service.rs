//! The service: each request to its operation, with what the gate opened for it.

use std::{sync::Arc, time::Instant};

use holdfast_accounts_api::v1::{
    CreateLoginRequest, GetLoginRequest, Login, RemoveLoginReply, RemoveLoginRequest, RequestResetReply,
    RequestResetRequest, RequestVerificationReply, RequestVerificationRequest, ResetReply, ResetRequest,
    SetPasswordRequest, SignInReply, SignInRequest, VerifyRequest, logins_server::Logins,
};
use holdfast_certs::Peer;
use holdfast_domain::Reason;
use holdfast_sys_core::{Refusal, gate::Context};
use tonic::{Request, Response, Status};

use super::{Desk, Mailer, codes, enter, own, reset};

/// The service.
#[derive(Clone)]
pub struct LoginsService(Arc<Desk>);

impl LoginsService {
    pub(super) const fn new(desk: Arc<Desk>) -> Self {
        Self(desk)
    }
}

impl Desk {
    /// Counts a stranger's call.
    pub(super) fn count(&self, peer: &Peer) -> Result<(), Refusal> {
        let counted = self.strangers.take(peer.addr.ip().into(), Instant::now());
        counted.map_err(|_| Refusal::new(Reason::RateLimited).because(peer.addr))
    }

    pub(super) fn mailer(&self) -> Result<Arc<dyn Mailer>, Refusal> {
        self.mailer.clone().ok_or_else(|| Refusal::new(Reason::NotConfigured).because("no [mail]"))
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Refusal> {
    let none = || Refusal::new(Reason::Internal).because("the listener tells nothing about its connections");
    request.extensions().get::<Peer>().cloned().ok_or_else(none)
}

#[tonic::async_trait]
impl Logins for LoginsService {
    async fn create(&self, request: Request<CreateLoginRequest>) -> Result<Response<Login>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(own::create(&self.0, &context, request.into_inner()).await?))
    }

    async fn get(&self, request: Request<GetLoginRequest>) -> Result<Response<Login>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(own::get(&context, request.into_inner()).await?))
    }

    async fn set_password(&self, request: Request<SetPasswordRequest>) -> Result<Response<Login>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(own::set_password(&self.0, &context, request.into_inner()).await?))
    }

    async fn remove(
        &self,
        request: Request<RemoveLoginRequest>,
    ) -> Result<Response<RemoveLoginReply>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(own::remove(&context, request.into_inner()).await?))
    }

    async fn sign_in(&self, request: Request<SignInRequest>) -> Result<Response<SignInReply>, Status> {
        let (context, peer) = (Context::of(&request)?.clone(), peer(&request)?);
        Ok(Response::new(enter::sign_in(&self.0, &context, &peer, request.into_inner()).await?))
    }

    async fn request_verification(
        &self,
        request: Request<RequestVerificationRequest>,
    ) -> Result<Response<RequestVerificationReply>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(codes::request(&self.0, &context, request.into_inner()).await?))
    }

    async fn verify(&self, request: Request<VerifyRequest>) -> Result<Response<Login>, Status> {
        let context = Context::of(&request)?.clone();
        Ok(Response::new(codes::verify(&self.0, &context, request.into_inner()).await?))
    }

    async fn request_reset(
        &self,
        request: Request<RequestResetRequest>,
    ) -> Result<Response<RequestResetReply>, Status> {
        let (context, peer) = (Context::of(&request)?.clone(), peer(&request)?);
        Ok(Response::new(reset::request(&self.0, &context, &peer, request.into_inner()).await?))
    }

    async fn reset(&self, request: Request<ResetRequest>) -> Result<Response<ResetReply>, Status> {
        let (context, peer) = (Context::of(&request)?.clone(), peer(&request)?);
        Ok(Response::new(reset::reset(&self.0, &context, &peer, request.into_inner()).await?))
    }
}
