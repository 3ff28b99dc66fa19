//! Keys of an account and its rights, over the services: signatures are made by the right keys for this connection, or nothing happens.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use holdfast_certs::{Purpose, csr};
use holdfast_domain::{
    AccountId, BanSubject, ClientId, Home, InvitePublic, LoginId, NodeRole, OperatorRequest, Reason, Role,
    SetupPublic, SpiffeSubject, codec,
};
use holdfast_keys::{
    ClientKey, Registration, Renewal, Secret32,
    devices::{Change, Claim, DeviceChange, DeviceRequest, Recovery},
};
use holdfast_proto::registry::v1::{
    self as pb, AccountRequest, AddDeviceRequest, ClaimSuperAdminRequest, ClientGrant, GlobalRole,
    ListAccountsRequest, ListDevicesReply, ListDevicesRequest, RecoverRequest, RegisterRequest, RenewRequest,
    RevokeDeviceRequest, RotateDeviceRequest, SetGlobalRoleRequest, SetLoginRequest, SetRecoveryRequest,
    WatchEvent, WatchRequest, accounts_server::Accounts as _, clients_server::Clients as _,
    directory_server::Directory as _,
};
use holdfast_registry_state::{AccountChange, Act, AdmitDevice, DeviceChange as Asked};
use holdfast_sys_core::Caller;
use tonic::Status;

use super::{
    machine::EXPORTER,
    world::{CLUSTER, HOUR, World, from, reason},
};
use crate::services::{accounts::AccountsService, clients::ClientsService, directory::DirectoryService};

struct Device {
    account: AccountId,
    client: ClientId,
    key: ClientKey,
}

impl Device {
    fn new(account: u8, client: u8) -> Self {
        let key = ClientKey::generate().unwrap();
        Self { account: AccountId::new([account; 16]), client: ClientId::new([client; 16]), key }
    }

    fn caller(&self) -> Caller {
        Caller::Client { client: self.client, home: Home { account: self.account, quota_bytes: 1 } }
    }

    fn sign(&self, exporter: &[u8; 32], change: Change<'_>) -> Bytes {
        let message = DeviceChange { cluster: CLUSTER, exporter, by: self.client, change }.message();
        signature(&self.key, &message)
    }

    fn wish(&self, world: &World) -> pb::DeviceRequest {
        let (account, client, expires) = (self.account, self.client, world.core.now().plus_ms(HOUR));
        let key = self.key.public();
        let request = DeviceRequest { cluster: CLUSTER, account, client, key: key.as_bytes(), expires };
        pb::DeviceRequest {
            account_id: id(account.as_bytes()),
            client_id: id(client.as_bytes()),
            key: id(key.as_bytes()),
            expires_ms: expires.0,
            proof: signature(&self.key, &request.message()),
        }
    }

    fn adding(&self, exporter: &[u8; 32], new: &Self, world: &World) -> AddDeviceRequest {
        let key = new.key.public();
        let signature = self.sign(exporter, Change::Add { client: new.client, key: key.as_bytes() });
        AddDeviceRequest { device: Some(new.wish(world)), signature }
    }

    fn rotating(&self, new: &Self) -> RotateDeviceRequest {
        let key = new.key.public();
        let change = Change::Rotate { client: new.client, key: key.as_bytes() };
        let message =
            DeviceChange { cluster: CLUSTER, exporter: &EXPORTER, by: self.client, change }.message();
        RotateDeviceRequest {
            client_id: id(new.client.as_bytes()),
            key: id(key.as_bytes()),
            signature: signature(&self.key, &message),
            proof: signature(&new.key, &message),
        }
    }

    fn revoking(&self, client: ClientId) -> RevokeDeviceRequest {
        let signature = self.sign(&EXPORTER, Change::Revoke(client));
        RevokeDeviceRequest { client_id: id(client.as_bytes()), signature }
    }

    fn recovering(&self, exporter: &[u8; 32], used: &ClientKey, next: &ClientKey) -> RecoverRequest {
        let [used_public, next_public, key] = [used, next, &self.key].map(ClientKey::public);
        let message = Recovery {
            cluster: CLUSTER,
            exporter,
            account: self.account,
            used: used_public.as_bytes(),
            next: next_public.as_bytes(),
            client: self.client,
            key: key.as_bytes(),
        }
        .message();
        RecoverRequest {
            account_id: id(self.account.as_bytes()),
            recovery_key: id(used_public.as_bytes()),
            next_recovery_key: id(next_public.as_bytes()),
            client_id: id(self.client.as_bytes()),
            key: id(key.as_bytes()),
            signature: signature(used, &message),
            next_proof: signature(next, &message),
            proof: signature(&self.key, &message),
        }
    }
}

fn id(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn signature(key: &ClientKey, message: &[u8]) -> Bytes {
    key.sign_raw(message).0.to_vec().into()
}

struct Desk {
    world: World,
    clients: ClientsService,
    accounts: AccountsService,
}

impl Desk {
    async fn new() -> Self {
        let world = World::new().await;
        let clients = ClientsService::new(Arc::clone(&world.core));
        let accounts = AccountsService::new(Arc::clone(&world.core));
        Self { world, clients, accounts }
    }

    async fn registered(&self, number: u8) -> Device {
        let invite = ClientKey::from_seed(&Secret32::from_bytes([number; 32]));
        let public: InvitePublic = invite.public().into();
        let expires = self.world.core.now().plus_ms(HOUR);
        let ask = OperatorRequest::Invite { invite: public, quota_bytes: 1, expires };
        self.world.ask(ask).await.unwrap();
        let device = Device::new(number, number);
        let csr = csr::create_ed25519(&device.key).unwrap();
        let (account, client) = (device.account, device.client);
        let message = Registration {
            cluster: CLUSTER,
            exporter: &EXPORTER,
            account,
            client,
            csr: &csr,
            invite: public,
        }
        .message();
        let request = RegisterRequest {
            account_id: id(account.as_bytes()),
            client_id: id(client.as_bytes()),
            proof: signature(&device.key, &message),
            invite_public: id(public.as_bytes()),
            invite_signature: signature(&invite, &message),
            csr: csr.into(),
        };
        self.clients.register(from(Caller::Anonymous, request)).await.unwrap();
        device
    }

    async fn renew(&self, device: &Device) -> Result<ClientGrant, Status> {
        let csr = csr::create_ed25519(&device.key).unwrap();
        let client = device.client;
        let message = Renewal { cluster: CLUSTER, exporter: &EXPORTER, client, csr: &csr }.message();
        let proof = signature(&device.key, &message);
        let request = RenewRequest { client_id: id(client.as_bytes()), csr: csr.into(), proof };
        Ok(self.clients.renew(from(Caller::Anonymous, request)).await?.into_inner())
    }

    async fn add(&self, by: &Device, request: AddDeviceRequest) -> Result<(), Status> {
        self.clients.add_device(from(by.caller(), request)).await.map(|_| ())
    }

    async fn rotate(&self, by: &Device, request: RotateDeviceRequest) -> Result<(), Status> {
        self.clients.rotate_device(from(by.caller(), request)).await.map(|_| ())
    }

    async fn revoke(&self, by: &Device, request: RevokeDeviceRequest) -> Result<(), Status> {
        self.clients.revoke_device(from(by.caller(), request)).await.map(|_| ())
    }

    async fn recover(&self, request: RecoverRequest) -> Result<(), Status> {
        self.clients.recover(from(Caller::Anonymous, request)).await.map(|_| ())
    }

    async fn set_recovery(&self, by: &Device, recovery: &ClientKey) {
        let key = recovery.public();
        let change = Change::Recovery(key.as_bytes());
        let message = DeviceChange { cluster: CLUSTER, exporter: &EXPORTER, by: by.client, change }.message();
        let request = SetRecoveryRequest {
            recovery_key: id(key.as_bytes()),
            signature: signature(&by.key, &message),
            proof: signature(recovery, &message),
        };
        let forged = SetRecoveryRequest { proof: request.signature.clone(), ..request.clone() };
        let forged = self.clients.set_recovery(from(by.caller(), forged)).await;
        assert_eq!(reason(forged), Reason::ProofOfPossession);
        self.clients.set_recovery(from(by.caller(), request)).await.unwrap();
    }

    async fn list(&self, by: &Device) -> Result<ListDevicesReply, Status> {
        Ok(self.clients.list_devices(from(by.caller(), ListDevicesRequest {})).await?.into_inner())
    }
}

#[tokio::test]
async fn a_second_key_is_made_on_its_device_agreed_to_by_the_first_and_gets_its_own_leaf() {
    let desk = Desk::new().await;
    let (ann, phone) = (desk.registered(1).await, Device::new(1, 11));
    assert_eq!(reason(desk.renew(&phone).await), Reason::NotFound);
    desk.add(&ann, ann.adding(&EXPORTER, &phone, &desk.world)).await.unwrap();
    let leaf = desk.world.certified(&desk.renew(&phone).await.unwrap().chain, Purpose::Client);
    assert_eq!(leaf.spiffe.subject, SpiffeSubject::Client(phone.client));
    assert_eq!(leaf.home.unwrap().account, ann.account);
    let listed = desk.list(&phone).await.unwrap();
    assert_eq!(listed.devices.len(), 2);
    assert!(!listed.recovery && listed.login_id.is_empty());
    assert_eq!(listed.devices[1].spki_hash, phone.key.public().spki_hash().as_bytes().as_slice());
}

#[tokio::test]
async fn a_key_is_added_by_nobody_else_for_no_other_account_connection_or_key() {
    let desk = Desk::new().await;
    let (ann, bob, phone) = (desk.registered(1).await, desk.registered(2).await, Device::new(1, 11));
    let good = ann.adding(&EXPORTER, &phone, &desk.world);
    let refused = async |by: &Device, request| reason(desk.add(by, request).await);
    assert_eq!(refused(&ann, ann.adding(&[1; 32], &phone, &desk.world)).await, Reason::ProofOfPossession);
    assert_eq!(refused(&bob, good.clone()).await, Reason::ProofOfPossession, "signed by another's key");
    let other = bob.adding(&EXPORTER, &phone, &desk.world);
    assert_eq!(refused(&bob, other).await, Reason::NotPermitted, "the device wants to another account");
    let stranger = Device { client: phone.client, ..Device::new(1, 12) };
    let swapped = AddDeviceRequest { device: Some(stranger.wish(&desk.world)), ..good.clone() };
    assert_eq!(refused(&ann, swapped).await, Reason::ProofOfPossession, "another key than agreed to");
    let unproven = pb::DeviceRequest { proof: good.signature.clone(), ..phone.wish(&desk.world) };
    let unproven = AddDeviceRequest { device: Some(unproven), ..good.clone() };
    assert_eq!(refused(&ann, unproven).await, Reason::ProofOfPossession);
    assert_eq!(refused(&ann, AddDeviceRequest { device: None, ..good.clone() }).await, Reason::Malformed);
    desk.world.pass(2 * HOUR);
    assert_eq!(refused(&ann, good).await, Reason::ProofOfPossession, "a wish has its time");
    assert_eq!(desk.list(&ann).await.unwrap().devices.len(), 1);
}

#[tokio::test]
async fn a_revoked_key_gets_no_leaf_and_decides_nothing_and_the_last_one_stays() {
    let desk = Desk::new().await;
    let (ann, phone) = (desk.registered(1).await, Device::new(1, 11));
    assert_eq!(reason(desk.revoke(&ann, ann.revoking(ann.client)).await), Reason::LastOne);
    desk.add(&ann, ann.adding(&EXPORTER, &phone, &desk.world)).await.unwrap();
    let replayed = RevokeDeviceRequest { client_id: id(ann.client.as_bytes()), ..ann.revoking(phone.client) };
    assert_eq!(reason(desk.revoke(&ann, replayed).await), Reason::ProofOfPossession);
    desk.revoke(&ann, ann.revoking(phone.client)).await.unwrap();
    assert_eq!(reason(desk.renew(&phone).await), Reason::NotFound);
    assert_eq!(reason(desk.revoke(&phone, phone.revoking(ann.client)).await), Reason::NotPermitted);
    let barred = desk.world.core.state().barred();
    assert!(barred.contains(&BanSubject::Client(phone.client)));
}

#[tokio::test]
async fn a_rotation_is_signed_by_both_keys() {
    let desk = Desk::new().await;
    let (ann, next) = (desk.registered(1).await, Device::new(1, 11));
    let good = ann.rotating(&next);
    let unproven = RotateDeviceRequest { proof: good.signature.clone(), ..good.clone() };
    assert_eq!(reason(desk.rotate(&ann, unproven).await), Reason::ProofOfPossession);
    let unsigned = RotateDeviceRequest { signature: good.proof.clone(), ..good.clone() };
    assert_eq!(reason(desk.rotate(&ann, unsigned).await), Reason::ProofOfPossession);
    desk.rotate(&ann, good).await.unwrap();
    desk.renew(&next).await.unwrap();
    assert_eq!(reason(desk.renew(&ann).await), Reason::NotFound);
}

#[tokio::test]
async fn a_recovery_needs_three_keys_on_this_connection_and_works_once() {
    let desk = Desk::new().await;
    let (ann, new) = (desk.registered(1).await, Device::new(1, 11));
    let [used, next, stranger] = [(); 3].map(|()| ClientKey::generate().unwrap());
    let good = new.recovering(&EXPORTER, &used, &next);
    assert_eq!(reason(desk.recover(good.clone()).await), Reason::ProofOfPossession, "there is none yet");
    desk.set_recovery(&ann, &used).await;
    for bad in [
        new.recovering(&[1; 32], &used, &next),
        new.recovering(&EXPORTER, &stranger, &next),
        RecoverRequest { signature: good.proof.clone(), ..good.clone() },
        RecoverRequest { next_proof: good.proof.clone(), ..good.clone() },
        RecoverRequest { proof: good.signature.clone(), ..good.clone() },
        RecoverRequest { account_id: id(&[7; 16]), ..good.clone() },
    ] {
        assert_eq!(reason(desk.recover(bad).await), Reason::ProofOfPossession);
    }
    desk.recover(good).await.unwrap();
    desk.renew(&new).await.unwrap();
    assert_eq!(reason(desk.renew(&ann).await), Reason::NotFound);
    let again = Device::new(1, 12).recovering(&EXPORTER, &used, &stranger);
    assert_eq!(reason(desk.recover(again).await), Reason::ProofOfPossession, "it is used up");
}

#[tokio::test]
async fn the_leaf_of_a_key_that_ends_ends_with_it() {
    let desk = Desk::new().await;
    let ann = desk.registered(1).await;
    let login = LoginId::new([5; 16]);
    let request = SetLoginRequest {
        login_id: id(login.as_bytes()),
        signature: ann.sign(&EXPORTER, Change::Login(Some(login))),
    };
    desk.clients.set_login(from(ann.caller(), request)).await.unwrap();
    assert_eq!(desk.list(&ann).await.unwrap().login_id, login.as_bytes().as_slice());
    // No map here: nobody serves the login's home.
    let passing = Device::new(1, 11);
    let expires = desk.world.core.now().plus_ms(HOUR);
    let admit = AdmitDevice {
        account: ann.account,
        client: passing.client,
        key: *passing.key.public().as_bytes(),
        login,
        expires,
    };
    let by = SpiffeSubject::Node(desk.world.core.me());
    let refused = desk.world.core.propose(by, Act::Device(Asked::Admit(admit))).await;
    assert_eq!(refused.unwrap_err().reason(), Reason::WrongGroup);
    let home = Home { account: ann.account, quota_bytes: 1 };
    let (secrets, now) = (desk.world.core.issuer().unwrap(), desk.world.core.now());
    let leaf = secrets.authorities.client(passing.client, home, passing.key.public(), now, Some(expires));
    assert_eq!(leaf.unwrap().not_after, expires);
}

#[tokio::test]
async fn a_set_up_token_is_used_once_by_who_holds_it_and_roles_come_from_there() {
    let desk = Desk::new().await;
    let (ann, bob) = (desk.registered(1).await, desk.registered(2).await);
    let secret = ClientKey::generate().unwrap();
    let token: SetupPublic = secret.public().into();
    let claim = |device: &Device, exporter: &[u8; 32], key: &ClientKey| {
        let (account, client) = (device.account, device.client);
        let message = Claim { cluster: CLUSTER, exporter, account, client, token }.message();
        let request = ClaimSuperAdminRequest {
            token_public: id(token.as_bytes()),
            signature: signature(key, &message),
        };
        from(device.caller(), request)
    };
    let claimed = async |request| desk.accounts.claim_super_admin(request).await.map(|_| ());
    assert_eq!(reason(claimed(claim(&ann, &EXPORTER, &secret)).await), Reason::TokenUnknown);
    let expires = desk.world.core.now().plus_ms(HOUR);
    desk.world.ask(OperatorRequest::SetupToken { token, expires }).await.unwrap();
    assert_eq!(reason(claimed(claim(&ann, &[1; 32], &secret)).await), Reason::TokenUnknown);
    assert_eq!(reason(claimed(claim(&ann, &EXPORTER, &ann.key)).await), Reason::TokenUnknown);
    claimed(claim(&ann, &EXPORTER, &secret)).await.unwrap();
    assert_eq!(reason(claimed(claim(&bob, &EXPORTER, &secret)).await), Reason::TokenUnknown);

    let of = |device: &Device| AccountRequest { account_id: id(device.account.as_bytes()) };
    let role = |device: &Device, role: i32| SetGlobalRoleRequest { account_id: of(device).account_id, role };
    let set = async |by: &Device, request| desk.accounts.set_global_role(from(by.caller(), request)).await;
    assert_eq!(reason(set(&bob, role(&bob, 3)).await), Reason::NotPermitted);
    assert_eq!(reason(set(&ann, role(&bob, 4)).await), Reason::NotPermitted);
    assert_eq!(reason(set(&ann, role(&bob, 9)).await), Reason::Malformed);
    let page = || ListAccountsRequest { after: Bytes::new(), limit: 1 };
    assert_eq!(reason(desk.accounts.list(from(bob.caller(), page())).await), Reason::NotPermitted);
    set(&ann, role(&bob, 3)).await.unwrap();
    let listed = desk.accounts.list(from(bob.caller(), page())).await.unwrap().into_inner();
    assert!(
        listed.more && listed.accounts.len() == 1 && listed.accounts[0].role == Role::SuperAdmin.number()
    );
    assert_eq!(reason(desk.accounts.disable(from(bob.caller(), of(&ann))).await), Reason::NotPermitted);
    desk.accounts.disable(from(ann.caller(), of(&bob))).await.unwrap();
    assert_eq!(reason(desk.renew(&bob).await), Reason::Banned);
    desk.accounts.enable(from(ann.caller(), of(&bob))).await.unwrap();
    desk.renew(&bob).await.unwrap();
    desk.accounts.delete(from(bob.caller(), of(&bob))).await.unwrap();
    assert_eq!(reason(desk.renew(&bob).await), Reason::NotFound);
}

#[tokio::test]
async fn watchers_hear_of_revoked_keys_of_accounts_that_ended_and_of_roles() {
    let desk = Desk::new().await;
    let (ann, bob, phone) = (desk.registered(1).await, desk.registered(2).await, Device::new(1, 11));
    let directory = DirectoryService::new(Arc::clone(&desk.world.core));
    let node = desk.world.member(NodeRole::Node).await.node();
    let watch = directory.watch(from(Caller::Node(node), WatchRequest {})).await;
    let mut events = watch.unwrap().into_inner();
    let mut seen = async |what: &(dyn Fn(&WatchEvent) -> bool + Sync)| {
        let seen = async { while !what(&events.next().await.unwrap().unwrap()) {} };
        tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap();
    };
    let bars = |event: &WatchEvent, subject: BanSubject| {
        event.bans.contains(&Bytes::from(codec::encode(&subject).unwrap()))
    };
    desk.add(&ann, ann.adding(&EXPORTER, &phone, &desk.world)).await.unwrap();
    desk.revoke(&ann, ann.revoking(phone.client)).await.unwrap();
    seen(&|event| bars(event, BanSubject::Client(phone.client))).await;

    let secret = ClientKey::generate().unwrap();
    let token: SetupPublic = secret.public().into();
    let expires = desk.world.core.now().plus_ms(HOUR);
    desk.world.ask(OperatorRequest::SetupToken { token, expires }).await.unwrap();
    let by = SpiffeSubject::Client(ann.client);
    let change = async |change| desk.world.core.propose(by.clone(), Act::Account(change)).await.unwrap();
    change(AccountChange::Claim(token)).await;
    let held = GlobalRole { account_id: id(ann.account.as_bytes()), role: Role::SuperAdmin.number() };
    seen(&|event| event.global_roles == [held.clone()]).await;

    change(AccountChange::Disable(bob.account)).await;
    seen(&|event| bars(event, BanSubject::Account(bob.account))).await;
    change(AccountChange::Enable(bob.account)).await;
    seen(&|event| !bars(event, BanSubject::Account(bob.account))).await;
}
