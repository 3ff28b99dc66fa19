//! Clients: a new account for an invite, and fresh leaves for registered keys. Proofs are bound to the TLS connection.

mod devices;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use holdfast_certs::{Peer, SubjectKey, csr};
use holdfast_domain::{ClientId, Home, InvitePublic, Reason};
use holdfast_keys::{ClientPublic, Registration, Renewal};
use holdfast_proto::registry::v1::{
    AddDeviceRequest, ChangeDeviceReply, ClientGrant, ListDevicesReply, ListDevicesRequest, RecoverRequest,
    RegisterRequest, RenewRequest, RevokeDeviceRequest, RotateDeviceRequest, SetLoginRequest,
    SetRecoveryRequest, clients_server::Clients,
};
use holdfast_registry_state::{Act, RegisterClient, State};
use holdfast_sys_core::{
    Caller, Refusal,
    attempts::{Attempts, Origin},
};
use tonic::{Request, Response, Status};

use super::{limits, peer, signed, wire};
use crate::core::Core;

/// The service.
pub struct ClientsService {
    core: Arc<Core>,
    attempts: Attempts<Origin>,
    changes: Attempts<ClientId>,
}

impl ClientsService {
    /// Serves from a voter's state.
    pub const fn new(core: Arc<Core>) -> Self {
        let attempts = Attempts::new(limits::CLIENTS_PER_ADDRESS);
        Self { core, attempts, changes: Attempts::new(limits::CHANGES_PER_CLIENT) }
    }

    async fn register(&self, peer: &Peer, request: RegisterRequest) -> Result<ClientGrant, Refusal> {
        self.count(peer)?;
        let RegisterRequest { account_id, client_id, csr, proof, invite_public, invite_signature } = request;
        let account = wire::id(&account_id, "account id")?;
        let client = wire::id(&client_id, "client id")?;
        let invite: InvitePublic = wire::id(&invite_public, "invite")?;
        let key = requested_key(&csr)?;
        let message = Registration {
            cluster: self.core.cluster().id(),
            exporter: peer.exporter.as_bytes(),
            account,
            client,
            csr: &csr,
            invite,
        }
        .message();
        signed::check(&key, &message, &proof, Reason::ProofOfPossession)?;
        let invite_key = ClientPublic::try_from(invite)
            .map_err(|error| Refusal::new(Reason::InviteUnknown).because(error))?;
        signed::check(&invite_key, &message, &invite_signature, Reason::InviteUnknown)?;
        self.check_invite(invite, client).await?;
        // Nothing is used up for somebody to whom nothing can be issued.
        self.core.issuer()?;
        let act = RegisterClient { account, client, key: *key.as_bytes(), invite };
        self.core.propose(self.core.myself(), Act::RegisterClient(act)).await?;
        self.grant(client)
    }

    /// Keeps strangers' made-up invites out of the log; the state decides.
    async fn check_invite(&self, invite: InvitePublic, client: ClientId) -> Result<(), Refusal> {
        let known = |state: &State| state.invite(invite).is_some() || state.client(client).is_some();
        if known(&self.core.state()) {
            return Ok(());
        }
        self.core.read_index().await?;
        if known(&self.core.state()) { Ok(()) } else { Err(Refusal::new(Reason::InviteUnknown)) }
    }

    async fn renew(&self, peer: &Peer, request: RenewRequest) -> Result<ClientGrant, Refusal> {
        self.count(peer)?;
        let RenewRequest { client_id, csr, proof } = request;
        let client = wire::id(&client_id, "client id")?;
        let key = requested_key(&csr)?;
        let message = Renewal {
            cluster: self.core.cluster().id(),
            exporter: peer.exporter.as_bytes(),
            client,
            csr: &csr,
        }
        .message();
        signed::check(&key, &message, &proof, Reason::ProofOfPossession)?;
        self.core.read_index().await?;
        let registered = self.core.state().client(client).map(|(row, _)| row.key);
        match registered {
            Some(registered) if registered == *key.as_bytes() => self.grant(client),
            Some(_) => {
                Err(Refusal::new(Reason::ProofOfPossession).because("another key than the registered one"))
            }
            None => Err(Refusal::new(Reason::NotFound).because("no such client")),
        }
    }

    fn count(&self, peer: &Peer) -> Result<(), Refusal> {
        let counted = self.attempts.take(peer.addr.ip().into(), Instant::now());
        counted.map_err(|_| Refusal::new(Reason::RateLimited).because(peer.addr))
    }

    /// A leaf for a registered client that is not banned.
    fn grant(&self, client: ClientId) -> Result<ClientGrant, Refusal> {
        let secrets = self.core.issuer()?;
        let state = self.core.state();
        if state.is_banned(&holdfast_domain::SpiffeSubject::Client(client)) {
            return Err(Refusal::new(Reason::Banned));
        }
        let (row, quota_bytes) = state.client(client).ok_or_else(|| Refusal::new(Reason::NotFound))?;
        let (now, expires) = (self.core.now(), state.expires(client));
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::new(Reason::NotFound).because("the client's key has ended"));
        }
        let internal = |error: &dyn std::fmt::Display| Refusal::new(Reason::Internal).because(error);
        let key = ClientPublic::from_bytes(&row.key).map_err(|error| internal(&error))?;
        let leaf = secrets
            .authorities
            .client(client, Home { account: row.account, quota_bytes }, key, now, expires)
            .map_err(|error| internal(&error))?;
        let sequence = state.founded().map_or(0, |founded| founded.bundle_sequence);
        Ok(ClientGrant {
            chain: leaf.chain.into_ders().into_iter().map(Bytes::from).collect(),
            bundle: Some(self.core.cluster().bundle(sequence)),
            renew_after_ms: leaf.renew_after.0,
            quota_bytes,
        })
    }
}

/// The Ed25519 key of a valid request.
fn requested_key(csr: &[u8]) -> Result<ClientPublic, Refusal> {
    let refuse = |detail: &dyn std::fmt::Display| Refusal::new(Reason::CertificateRequest).because(detail);
    match csr::parse(csr).map_err(|error| refuse(&error))?.key() {
        SubjectKey::Ed25519(key) => Ok(*key),
        SubjectKey::P256(_) => Err(refuse(&"clients have Ed25519 keys")),
    }
}

#[tonic::async_trait]
impl Clients for ClientsService {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<ClientGrant>, Status> {
        let peer = peer(&request)?.clone();
        Ok(Self::register(self, &peer, request.into_inner()).await.map(Response::new)?)
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<ClientGrant>, Status> {
        let peer = peer(&request)?.clone();
        Ok(Self::renew(self, &peer, request.into_inner()).await.map(Response::new)?)
    }

    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesReply>, Status> {
        let (by, _) = Caller::of(&request)?.client()?;
        Ok(Self::list_devices(self, by).await.map(Response::new)?)
    }

    async fn add_device(
        &self,
        request: Request<AddDeviceRequest>,
    ) -> Result<Response<ChangeDeviceReply>, Status> {
        let (by, peer) = caller(&request)?;
        Ok(Self::add_device(self, &peer, by, request.into_inner()).await.map(done)?)
    }

    async fn rotate_device(
        &self,
        request: Request<RotateDeviceRequest>,
    ) -> Result<Response<ChangeDeviceReply>, Status> {
        let (by, peer) = caller(&request)?;
        Ok(Self::rotate_device(self, &peer, by, request.into_inner()).await.map(done)?)
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<ChangeDeviceReply>, Status> {
        let (by, peer) = caller(&request)?;
        Ok(Self::revoke_device(self, &peer, by, request.into_inner()).await.map(done)?)
    }

    async fn set_recovery(
        &self,
        request: Request<SetRecoveryRequest>,
    ) -> Result<Response<ChangeDeviceReply>, Status> {
        let (by, peer) = caller(&request)?;
        Ok(Self::set_recovery(self, &peer, by, request.into_inner()).await.map(done)?)
    }

    async fn recover(&self, request: Request<RecoverRequest>) -> Result<Response<ChangeDeviceReply>, Status> {
        let peer = peer(&request)?.clone();
        Ok(Self::recover(self, &peer, request.into_inner()).await.map(done)?)
    }

    async fn set_login(
        &self,
        request: Request<SetLoginRequest>,
    ) -> Result<Response<ChangeDeviceReply>, Status> {
        let (by, peer) = caller(&request)?;
        Ok(Self::set_login(self, &peer, by, request.into_inner()).await.map(done)?)
    }
}

/// The calling client, and its connection.
fn caller<T>(request: &Request<T>) -> Result<(ClientId, Peer), Status> {
    let (client, _) = Caller::of(request)?.client()?;
    Ok((client, peer(request)?.clone()))
}

fn done((): ()) -> Response<ChangeDeviceReply> {
    Response::new(ChangeDeviceReply {})
}
