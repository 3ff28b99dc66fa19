//! Clients' registrations and renewals.

use std::sync::Arc;

use holdfast_certs::{Purpose, csr};
use holdfast_domain::{
    AccountId, BanSubject, ClientId, InvitePublic, OperatorRequest, Reason, SpiffeSubject,
};
use holdfast_keys::{ClientKey, Registration, Renewal, Secret32};
use holdfast_proto::registry::v1::{
    ClientGrant, RegisterRequest, RenewRequest, clients_server::Clients as _,
};
use holdfast_sys_core::Caller;
use tonic::Status;

use super::{
    machine::EXPORTER,
    world::{CLUSTER, HOUR, World, from, reason},
};
use crate::services::clients::ClientsService;

const QUOTA: u64 = 1 << 30;

struct Someone {
    account: AccountId,
    client: ClientId,
    key: ClientKey,
    invite: ClientKey,
}

impl Someone {
    fn new(id: u8, invite: &Secret32) -> Self {
        Self {
            account: AccountId::new([id; 16]),
            client: ClientId::new([id; 16]),
            key: ClientKey::generate().unwrap(),
            invite: ClientKey::from_seed(invite),
        }
    }

    fn registration(&self, exporter: &[u8; 32]) -> RegisterRequest {
        let csr = csr::create_ed25519(&self.key).unwrap();
        let invite: InvitePublic = self.invite.public().into();
        let message = Registration {
            cluster: CLUSTER,
            exporter,
            account: self.account,
            client: self.client,
            csr: &csr,
            invite,
        }
        .message();
        RegisterRequest {
            account_id: self.account.as_bytes().to_vec().into(),
            client_id: self.client.as_bytes().to_vec().into(),
            proof: self.key.sign_raw(&message).0.to_vec().into(),
            invite_public: invite.as_bytes().to_vec().into(),
            invite_signature: self.invite.sign_raw(&message).0.to_vec().into(),
            csr: csr.into(),
        }
    }

    fn renewal(&self, exporter: &[u8; 32]) -> RenewRequest {
        let csr = csr::create_ed25519(&self.key).unwrap();
        let message = Renewal { cluster: CLUSTER, exporter, client: self.client, csr: &csr }.message();
        RenewRequest {
            client_id: self.client.as_bytes().to_vec().into(),
            proof: self.key.sign_raw(&message).0.to_vec().into(),
            csr: csr.into(),
        }
    }
}

struct Clients {
    world: World,
    service: ClientsService,
}

impl Clients {
    async fn new() -> Self {
        let world = World::new().await;
        let service = ClientsService::new(Arc::clone(&world.core));
        Self { world, service }
    }

    async fn invited(&self, id: u8) -> Someone {
        let seed = Secret32::from_bytes([id; 32]);
        let invite = ClientKey::from_seed(&seed).public().into();
        let expires = self.world.core.now().plus_ms(HOUR);
        self.world.ask(OperatorRequest::Invite { invite, quota_bytes: QUOTA, expires }).await.unwrap();
        Someone::new(id, &seed)
    }

    async fn register(&self, request: RegisterRequest) -> Result<ClientGrant, Status> {
        Ok(self.service.register(from(Caller::Anonymous, request)).await?.into_inner())
    }

    async fn renew(&self, request: RenewRequest) -> Result<ClientGrant, Status> {
        Ok(self.service.renew(from(Caller::Anonymous, request)).await?.into_inner())
    }
}

#[tokio::test]
async fn an_invite_makes_an_account_whose_leaf_names_its_home() {
    let clients = Clients::new().await;
    let ann = clients.invited(1).await;
    let grant = clients.register(ann.registration(&EXPORTER)).await.unwrap();
    assert_eq!(grant.quota_bytes, QUOTA);
    assert!(grant.bundle.unwrap().genesis.is_some());
    let leaf = clients.world.certified(&grant.chain, Purpose::Client);
    assert_eq!(leaf.spiffe.subject, SpiffeSubject::Client(ann.client));
    assert_eq!(leaf.home.unwrap().account, ann.account);
    assert_eq!(leaf.spki_hash, ann.key.public().spki_hash());
    assert_eq!(leaf.not_after, clients.world.core.now().plus_ms(24 * HOUR));
}

#[tokio::test]
async fn an_invite_is_used_once() {
    let clients = Clients::new().await;
    let ann = clients.invited(1).await;
    clients.register(ann.registration(&EXPORTER)).await.unwrap();
    clients.register(ann.registration(&EXPORTER)).await.unwrap();
    let bob = Someone { account: AccountId::new([2; 16]), ..Someone::new(2, &Secret32::from_bytes([1; 32])) };
    assert_eq!(reason(clients.register(bob.registration(&EXPORTER)).await), Reason::InviteUnknown);
}

#[tokio::test]
async fn a_taken_account_or_client_id_is_refused() {
    let clients = Clients::new().await;
    let ann = clients.invited(1).await;
    clients.register(ann.registration(&EXPORTER)).await.unwrap();
    let bob = Someone { account: ann.account, ..clients.invited(2).await };
    assert_eq!(reason(clients.register(bob.registration(&EXPORTER)).await), Reason::AccountTaken);
    let bob = Someone { client: ann.client, ..clients.invited(3).await };
    assert_eq!(reason(clients.register(bob.registration(&EXPORTER)).await), Reason::AccountTaken);
}

#[tokio::test]
async fn proofs_are_for_this_connection_this_key_and_this_invite() {
    let clients = Clients::new().await;
    let (ann, bob) = (clients.invited(1).await, clients.invited(2).await);
    let refused = async |request| reason(clients.register(request).await);
    assert_eq!(refused(ann.registration(&[1; 32])).await, Reason::ProofOfPossession);

    let (good, other) = (ann.registration(&EXPORTER), bob.registration(&EXPORTER));
    let wrong_key = RegisterRequest { proof: other.proof.clone(), ..good.clone() };
    assert_eq!(refused(wrong_key).await, Reason::ProofOfPossession);
    let wrong_invite = RegisterRequest { invite_signature: other.invite_signature.clone(), ..good.clone() };
    assert_eq!(refused(wrong_invite).await, Reason::InviteUnknown);
    let swapped = RegisterRequest { invite_public: other.invite_public.clone(), ..good.clone() };
    assert_eq!(refused(swapped).await, Reason::ProofOfPossession);
    let other_account = RegisterRequest { account_id: other.account_id.clone(), ..good.clone() };
    assert_eq!(refused(other_account).await, Reason::ProofOfPossession);
    let short = RegisterRequest { proof: good.proof.slice(1..), ..good };
    assert_eq!(refused(short).await, Reason::Malformed);
}

#[tokio::test]
async fn an_invite_that_nobody_signed_or_that_has_expired_is_refused() {
    let clients = Clients::new().await;
    let stranger = Someone::new(9, &Secret32::from_bytes([9; 32]));
    assert_eq!(reason(clients.register(stranger.registration(&EXPORTER)).await), Reason::InviteUnknown);
    let ann = clients.invited(1).await;
    clients.world.pass(2 * HOUR);
    assert_eq!(reason(clients.register(ann.registration(&EXPORTER)).await), Reason::InviteUnknown);
}

#[tokio::test]
async fn a_registered_key_renews_and_no_other() {
    let clients = Clients::new().await;
    let ann = clients.invited(1).await;
    assert_eq!(reason(clients.renew(ann.renewal(&EXPORTER)).await), Reason::NotFound);
    clients.register(ann.registration(&EXPORTER)).await.unwrap();
    clients.world.pass(48 * HOUR);
    let grant = clients.renew(ann.renewal(&EXPORTER)).await.unwrap();
    assert_eq!(clients.world.certified(&grant.chain, Purpose::Client).home.unwrap().account, ann.account);
    assert_eq!(reason(clients.renew(ann.renewal(&[1; 32])).await), Reason::ProofOfPossession);
    let thief = Someone { client: ann.client, ..Someone::new(5, &Secret32::from_bytes([5; 32])) };
    assert_eq!(reason(clients.renew(thief.renewal(&EXPORTER)).await), Reason::ProofOfPossession);
}

#[tokio::test]
async fn a_banned_account_gets_no_leaf() {
    let clients = Clients::new().await;
    let ann = clients.invited(1).await;
    clients.register(ann.registration(&EXPORTER)).await.unwrap();
    clients.world.ask(OperatorRequest::Ban(BanSubject::Account(ann.account))).await.unwrap();
    assert_eq!(reason(clients.renew(ann.renewal(&EXPORTER)).await), Reason::Banned);
}
