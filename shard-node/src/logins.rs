//! Keys that a login's password admits, at the registry.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_accounts::login::{Admission, Devices};
use holdfast_domain::Reason;
use holdfast_enrol::registries::{CallError, Registries};
use holdfast_proto::registry::v1::{AdmitDeviceRequest, custody_client::CustodyClient};
use holdfast_sys_core::Refusal;

/// The registry, as this node calls it. It decides: the account must have named the login, and this node serve it.
pub struct RegistryDevices(Registries);

impl RegistryDevices {
    /// Over the node's own connections.
    pub const fn new(registries: Registries) -> Self {
        Self(registries)
    }
}

#[async_trait]
impl Devices for RegistryDevices {
    async fn admit(&self, admission: Admission) -> Result<(), Refusal> {
        let Admission { account, client, key, login, expires } = admission;
        let request = AdmitDeviceRequest {
            account_id: Bytes::copy_from_slice(account.as_bytes()),
            client_id: Bytes::copy_from_slice(client.as_bytes()),
            key: Bytes::copy_from_slice(key.as_bytes()),
            login_id: Bytes::copy_from_slice(login.as_bytes()),
            expires_ms: expires.0,
        };
        let admitted = self.0.call(|channel| {
            let request = request.clone();
            async move { CustodyClient::new(channel).admit_device(request).await }
        });
        admitted.await.map(drop).map_err(refusal)
    }
}

/// What the registry said, to whoever knew the password.
fn refusal(error: CallError) -> Refusal {
    match &error {
        CallError::Refused(status) => match Refusal::from_status(status) {
            Ok(refusal) => Refusal::new(refusal.reason()).because(&error),
            Err(_) => Refusal::new(Reason::Internal).because(&error),
        },
        _ => Refusal::new(Reason::NotReady).because(holdfast_domain::causes(&error)),
    }
}
