//! The keys of an account: a second device, one less, another one, all of them anew with a recovery key; and the login that may admit some.
//!
//! A key is made on the device that uses it and never leaves it. Whatever changes an account's keys is signed by the key that asks for it,
//! over the connection that carries the request.

mod new;
mod rotate;
mod wish;

use holdfast_certs::Dialed;
use holdfast_domain::{ClientId, LoginId, SpkiHash, UnixMs};
use holdfast_keys::{
    ClientKey, OneTime,
    devices::{Change, DeviceChange},
};
use holdfast_proto::registry::v1::{self as pb, clients_client::ClientsClient};
use tonic::{Response, Status, transport::Channel};

use crate::{Client, Error, client::bytes_of, error::Answer, registries::Repeat};

pub use new::{NewDevice, Preparing};
pub(crate) use rotate::settle;
pub use wish::{Wish, WishError};

/// A key of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub client: ClientId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: SpkiHash,
    /// Since when.
    pub registered: UnixMs,
    /// Until when, if it does not stay.
    pub expires: Option<UnixMs>,
}

/// The keys of an account, and what else may replace or admit some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceList {
    /// The keys.
    pub devices: Vec<Device>,
    /// Whether a recovery key is set.
    pub recovery: bool,
    /// The login that may admit keys.
    pub login: Option<LoginId>,
}

/// The keys of a client's account.
pub struct Devices<'a>(&'a Client);

impl Client {
    /// The keys of this client's account.
    pub const fn devices(&self) -> Devices<'_> {
        Devices(self)
    }
}

impl Devices<'_> {
    /// All of them.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self) -> Result<DeviceList, Error> {
        const ACTION: &str = "list the account's keys";
        let call = |channel| async move {
            ClientsClient::new(channel)
                .list_devices(pb::ListDevicesRequest {})
                .await
                .map(Response::into_inner)
        };
        let pb::ListDevicesReply { devices, recovery, login_id } =
            self.0.shared.registries.call(ACTION, Repeat::Safe, call).await?;
        let bad = |what| Error::Reply { action: ACTION.to_owned(), what };
        let device = |row: pb::Device| {
            let pb::Device { client_id, spki_hash, registered_ms, expires_ms } = row;
            Ok(Device {
                client: client_id.as_ref().try_into().map_err(|_| bad("client id"))?,
                key: spki_hash.as_ref().try_into().map_err(|_| bad("key"))?,
                registered: UnixMs(registered_ms),
                expires: Some(UnixMs(expires_ms)).filter(|at| at.0 > 0),
            })
        };
        let login = if login_id.is_empty() {
            None
        } else {
            Some(login_id.as_ref().try_into().map_err(|_| bad("login"))?)
        };
        let devices = devices.into_iter().map(device).collect::<Result<_, Error>>()?;
        Ok(DeviceList { devices, recovery, login })
    }

    /// Adds the key of a device that wrote this wish.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add(&self, wish: &Wish) -> Result<(), Error> {
        let change = Change::Add { client: wish.client, key: &wish.key };
        self.change("add a key to the account", change, |mut client, _, signature| async move {
            let device = Some(wish.to_wire());
            client.add_device(pb::AddDeviceRequest { device, signature }).await
        })
        .await
    }

    /// Ends a key, everywhere, at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revoke(&self, device: ClientId) -> Result<(), Error> {
        let call = |mut client: ClientsClient<Channel>, _, signature| async move {
            let client_id = device.as_bytes().to_vec().into();
            client.revoke_device(pb::RevokeDeviceRequest { client_id, signature }).await
        };
        let revoked = self.change("revoke a key", Change::Revoke(device), call).await;
        if device == self.0.credential().description().client {
            self.0.unless_out(revoked).await
        } else {
            revoked
        }
    }

    /// Whoever holds `recovery` may replace all keys of the account, once. Replaces the one before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_recovery(&self, recovery: &OneTime) -> Result<(), Error> {
        let recovery = recovery.key();
        let public = recovery.public();
        let change = Change::Recovery(public.as_bytes());
        let call = |mut client: ClientsClient<Channel>, message: Vec<u8>, signature| {
            let request = pb::SetRecoveryRequest {
                recovery_key: public.as_bytes().to_vec().into(),
                signature,
                proof: bytes_of(recovery.sign_raw(&message)),
            };
            async move { client.set_recovery(request).await }
        };
        self.change("set the account's recovery key", change, call).await
    }

    /// The login whose password admits short-lived keys to the account; `None` takes it away.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_login(&self, login: Option<LoginId>) -> Result<(), Error> {
        self.change("set the account's login", Change::Login(login), |mut client, _, signature| async move {
            let login_id = login.map(|login| login.as_bytes().to_vec().into()).unwrap_or_default();
            client.set_login(pb::SetLoginRequest { login_id, signature }).await
        })
        .await
    }

    /// One change over one connection. It is not repeated: each message is for its connection.
    async fn change<F, Fut>(&self, action: &str, change: Change<'_>, call: F) -> Result<(), Error>
    where
        F: FnOnce(ClientsClient<Channel>, Vec<u8>, bytes::Bytes) -> Fut,
        Fut: Future<Output = Result<Response<pb::ChangeDeviceReply>, Status>>,
    {
        let Dialed { channel, exporter, .. } = self.0.shared.registries.dial(action).await?;
        let message = self.message(exporter.as_bytes(), change);
        let signature = bytes_of(self.key().sign_raw(&message));
        answered(action, call(ClientsClient::new(channel), message, signature).await)
    }

    fn message(&self, exporter: &[u8; 32], change: Change<'_>) -> Vec<u8> {
        let description = self.0.credential().description();
        DeviceChange { cluster: description.cluster, exporter, by: description.client, change }.message()
    }

    fn key(&self) -> &ClientKey {
        self.0.credential().key()
    }
}

fn answered(action: &str, reply: Result<Response<pb::ChangeDeviceReply>, Status>) -> Result<(), Error> {
    let refused = |status: Status| Answer::of(&status).into_error(action, std::time::Duration::ZERO);
    reply.map(|_| ()).map_err(refused)
}
