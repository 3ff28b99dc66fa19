//! The keys of an account: which there are, one more, one less, all of them anew. Signatures are checked here, on the connection that
//! carries them; the rest is the state's to decide.

use std::time::Instant;

use bytes::Bytes;
use holdfast_certs::Peer;
use holdfast_domain::{AccountId, ClientId, LoginId, Reason, SpiffeSubject, UnixMs};
use holdfast_keys::{
    ClientPublic,
    devices::{Change, DeviceChange as Signed, DeviceRequest, Recovery},
};
use holdfast_proto::registry::v1::{
    self as pb, AddDeviceRequest, ListDevicesReply, RecoverRequest, RevokeDeviceRequest, RotateDeviceRequest,
    SetLoginRequest, SetRecoveryRequest,
};
use holdfast_registry_state::{Act, DeviceChange, Recover, State};
use holdfast_sys_core::Refusal;

use super::ClientsService;
use crate::services::{limits, signed, wire};

impl ClientsService {
    pub(super) async fn list_devices(&self, by: ClientId) -> Result<ListDevicesReply, Refusal> {
        self.core.read_index().await?;
        let state = self.core.state();
        let account = own_account(&state, by)?;
        let view = state.account(account).ok_or_else(|| Refusal::new(Reason::NotFound))?;
        let devices = state.devices(account).map(|(client, row, expires)| pb::Device {
            client_id: id_bytes(client.as_bytes()),
            spki_hash: ClientPublic::from_bytes(&row.key)
                .map(|key| Bytes::copy_from_slice(key.spki_hash().as_bytes()))
                .unwrap_or_default(),
            registered_ms: row.registered.0,
            expires_ms: expires.map_or(0, |at| at.0),
        });
        Ok(ListDevicesReply {
            devices: devices.collect(),
            recovery: view.recovery,
            login_id: view.login.map(|login| id_bytes(login.as_bytes())).unwrap_or_default(),
        })
    }

    pub(super) async fn add_device(
        &self,
        peer: &Peer,
        by: ClientId,
        request: AddDeviceRequest,
    ) -> Result<(), Refusal> {
        let AddDeviceRequest { device, signature } = request;
        let pb::DeviceRequest { account_id, client_id, key, expires_ms, proof } =
            device.ok_or_else(|| wire::malformed("no device"))?;
        let account = wire::id(&account_id, "account id")?;
        let client = wire::id(&client_id, "client id")?;
        let key = signed::public(&key)?;
        let expires = UnixMs(expires_ms);
        let now = self.core.now();
        if expires <= now || expires.since(now) > limits::DEVICE_REQUEST_LIFE_MS {
            return Err(
                Refusal::new(Reason::ProofOfPossession).because("the new device's request has expired")
            );
        }
        let cluster = self.core.cluster().id();
        let request = DeviceRequest { cluster, account, client, key: key.as_bytes(), expires };
        signed::check(&key, &request.message(), &proof, Reason::ProofOfPossession)?;
        self.signed(peer, by, Change::Add { client, key: key.as_bytes() }, &signature).await?;
        // What the new device wants to belong to is what its owner adds it to.
        if own_account(&self.core.state(), by)? != account {
            return Err(Refusal::new(Reason::NotPermitted).because("a request for another account"));
        }
        self.change(by, DeviceChange::Add { client, key: *key.as_bytes() }).await
    }

    pub(super) async fn rotate_device(
        &self,
        peer: &Peer,
        by: ClientId,
        request: RotateDeviceRequest,
    ) -> Result<(), Refusal> {
        let RotateDeviceRequest { client_id, key, signature, proof } = request;
        let client = wire::id(&client_id, "client id")?;
        let key = signed::public(&key)?;
        let change = Change::Rotate { client, key: key.as_bytes() };
        let message = self.signed(peer, by, change, &signature).await?;
        signed::check(&key, &message, &proof, Reason::ProofOfPossession)?;
        self.change(by, DeviceChange::Rotate { client, key: *key.as_bytes() }).await
    }

    pub(super) async fn revoke_device(
        &self,
        peer: &Peer,
        by: ClientId,
        request: RevokeDeviceRequest,
    ) -> Result<(), Refusal> {
        let RevokeDeviceRequest { client_id, signature } = request;
        let client = wire::id(&client_id, "client id")?;
        self.signed(peer, by, Change::Revoke(client), &signature).await?;
        self.change(by, DeviceChange::Revoke(client)).await
    }

    pub(super) async fn set_recovery(
        &self,
        peer: &Peer,
        by: ClientId,
        request: SetRecoveryRequest,
    ) -> Result<(), Refusal> {
        let SetRecoveryRequest { recovery_key, signature, proof } = request;
        let key = signed::public(&recovery_key)?;
        let message = self.signed(peer, by, Change::Recovery(key.as_bytes()), &signature).await?;
        signed::check(&key, &message, &proof, Reason::ProofOfPossession)?;
        self.change(by, DeviceChange::SetRecovery(*key.as_bytes())).await
    }

    pub(super) async fn set_login(
        &self,
        peer: &Peer,
        by: ClientId,
        request: SetLoginRequest,
    ) -> Result<(), Refusal> {
        let SetLoginRequest { login_id, signature } = request;
        let login: Option<LoginId> =
            if login_id.is_empty() { None } else { Some(wire::id(&login_id, "login id")?) };
        self.signed(peer, by, Change::Login(login), &signature).await?;
        self.change(by, DeviceChange::SetLogin(login)).await
    }

    pub(super) async fn recover(&self, peer: &Peer, request: RecoverRequest) -> Result<(), Refusal> {
        self.count(peer)?;
        let RecoverRequest {
            account_id,
            recovery_key,
            next_recovery_key,
            client_id,
            key,
            signature,
            next_proof,
            proof,
        } = request;
        let account: AccountId = wire::id(&account_id, "account id")?;
        let client = wire::id(&client_id, "client id")?;
        let [used, next, key] = [&recovery_key, &next_recovery_key, &key].map(|key| signed::public(key));
        let (used, next, key) = (used?, next?, key?);
        let message = Recovery {
            cluster: self.core.cluster().id(),
            exporter: peer.exporter.as_bytes(),
            account,
            used: used.as_bytes(),
            next: next.as_bytes(),
            client,
            key: key.as_bytes(),
        }
        .message();
        for (key, signature) in [(&used, &signature), (&next, &next_proof), (&key, &proof)] {
            signed::check(key, &message, signature, Reason::ProofOfPossession)?;
        }
        self.check_recovery(account, &used, &next).await?;
        // The recovery key is not used up for somebody to whom nothing can be issued.
        self.core.issuer()?;
        let recover =
            Recover { account, used: *used.as_bytes(), next: *next.as_bytes(), client, key: *key.as_bytes() };
        let act = Act::Device(DeviceChange::Recover(recover));
        self.core.propose(self.core.myself(), act).await.map(|_| ())
    }

    /// Keeps strangers' made-up keys out of the log; the state decides.
    async fn check_recovery(
        &self,
        account: AccountId,
        used: &ClientPublic,
        next: &ClientPublic,
    ) -> Result<(), Refusal> {
        let known = |state: &State| {
            let key = state.recovery_key(account);
            key == Some(*used.as_bytes()) || key == Some(*next.as_bytes())
        };
        if known(&self.core.state()) {
            return Ok(());
        }
        self.core.read_index().await?;
        if known(&self.core.state()) {
            Ok(())
        } else {
            Err(Refusal::new(Reason::ProofOfPossession).because("not the account's recovery key"))
        }
    }

    /// Checks the signature of the caller's own key, and gives the message for a second one.
    async fn signed(
        &self,
        peer: &Peer,
        by: ClientId,
        change: Change<'_>,
        signature: &[u8],
    ) -> Result<Vec<u8>, Refusal> {
        self.count_change(by)?;
        if self.core.state().client(by).is_none() {
            self.core.read_index().await?;
        }
        let key = self.core.state().client(by).map(|(row, _)| row.key);
        let key =
            key.ok_or_else(|| Refusal::new(Reason::NotPermitted).because("the caller's key is gone"))?;
        let key = signed::public(&key)?;
        let (cluster, exporter) = (self.core.cluster().id(), peer.exporter.as_bytes());
        let message = Signed { cluster, exporter, by, change }.message();
        signed::check(&key, &message, signature, Reason::ProofOfPossession)?;
        Ok(message)
    }

    fn count_change(&self, by: ClientId) -> Result<(), Refusal> {
        let counted = self.changes.take(by, Instant::now());
        counted.map_err(|_| Refusal::new(Reason::RateLimited).because(by))
    }

    async fn change(&self, by: ClientId, change: DeviceChange) -> Result<(), Refusal> {
        self.core.propose(SpiffeSubject::Client(by), Act::Device(change)).await.map(|_| ())
    }
}

fn own_account(state: &State, client: ClientId) -> Result<AccountId, Refusal> {
    let row = state.client(client).map(|(row, _)| row.account);
    row.ok_or_else(|| Refusal::new(Reason::NotPermitted).because("the caller's key is gone"))
}

fn id_bytes(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}
