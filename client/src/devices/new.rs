//! A device that is to belong to an account: its key is here before the cluster knows it, and the same key goes on when a step is repeated.

use std::{path::Path, time::Duration};

use holdfast_certs::{Dialed, Dialer};
use holdfast_domain::{AccountId, ClientId, RootHash};
use holdfast_keys::{ClientKey, OneTime, devices::Recovery, random_array};
use holdfast_proto::registry::v1::{self as pb, clients_client::ClientsClient};

use super::{Wish, answered};
use crate::{
    Client, Error, Registries,
    client::{bootstrap, bytes_of, renew},
    config::RegistryAddress,
    credential::{ClientDescription, NewClientCredential},
    trust::Trust,
};

/// What a new device needs.
pub struct Preparing<'a> {
    /// Where the registries listen.
    pub registries: Vec<RegistryAddress>,
    /// The pin of the cluster's root.
    pub root_hash: RootHash,
    /// The account to belong to.
    pub account: AccountId,
    /// The credential directory to make.
    pub dir: &'a Path,
    /// How long to try.
    pub patience: Duration,
}

/// A device whose key exists.
pub struct NewDevice {
    new: NewClientCredential,
    strangers: Registries,
    addresses: Vec<String>,
    patience: Duration,
}

impl NewDevice {
    /// Makes a key, or finds the one that an earlier try left in the directory.
    ///
    /// # Errors
    /// See [`Error`]; [`CredentialError::Exists`](crate::credential::CredentialError::Exists) once it belongs to the account.
    pub async fn prepare(preparing: Preparing<'_>) -> Result<Self, Error> {
        let Preparing { registries, root_hash, account, dir, patience } = preparing;
        let addresses: Vec<_> = registries.iter().map(ToString::to_string).collect();
        let strangers = Registries::new(addresses.clone(), Dialer::new(root_hash, None), patience);
        let trust = bootstrap(&strangers, root_hash).await?;
        let client = ClientId::new(random_array()?);
        let describe = |trust: &Trust| ClientDescription {
            cluster: trust.cluster(),
            trust_domain: trust.trust_domain().clone(),
            root_hash,
            registries,
            account,
            client,
        };
        let new = NewClientCredential::prepare(dir, trust, describe, ClientKey::generate()?)?;
        Ok(Self { new, strangers, addresses, patience })
    }

    /// Who it will be.
    pub fn description(&self) -> &ClientDescription {
        self.new.description()
    }

    /// Its key.
    pub fn key(&self) -> &ClientKey {
        self.new.key()
    }

    /// What a device of the account adds with [`Devices::add`](super::Devices::add).
    pub fn wish(&self) -> Wish {
        let ClientDescription { cluster, account, client, .. } = self.new.description();
        Wish::new(*cluster, *account, *client, self.new.key())
    }

    /// Fetches the certificate.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::NotFound`](holdfast_domain::Reason::NotFound) until the account has the key.
    pub async fn complete(self) -> Result<Client, Error> {
        let Self { new, strangers, addresses, patience } = self;
        let chain = renew(&strangers, new.description(), new.key(), new.trust()).await?;
        Client::of_credential(new.complete(chain)?, addresses, patience)
    }

    /// Replaces all keys of the account by this one. `used` is worth nothing afterwards, and `next` takes its place.
    ///
    /// # Errors
    /// See [`Error`]; [`Reason::ProofOfPossession`](holdfast_domain::Reason::ProofOfPossession) when `used` is not the account's recovery key.
    pub async fn recover(&self, used: &OneTime, next: &OneTime) -> Result<(), Error> {
        const ACTION: &str = "recover the account";
        let Dialed { channel, exporter, .. } = self.strangers.dial(ACTION).await?;
        let ClientDescription { cluster, account, client, .. } = self.new.description();
        let (used, next, key) = (used.key(), next.key(), self.new.key());
        let [used_public, next_public, public] = [&used, &next, key].map(ClientKey::public);
        let message = Recovery {
            cluster: *cluster,
            exporter: exporter.as_bytes(),
            account: *account,
            used: used_public.as_bytes(),
            next: next_public.as_bytes(),
            client: *client,
            key: public.as_bytes(),
        }
        .message();
        let request = pb::RecoverRequest {
            account_id: account.as_bytes().to_vec().into(),
            recovery_key: used_public.as_bytes().to_vec().into(),
            next_recovery_key: next_public.as_bytes().to_vec().into(),
            client_id: client.as_bytes().to_vec().into(),
            key: public.as_bytes().to_vec().into(),
            signature: bytes_of(used.sign_raw(&message)),
            next_proof: bytes_of(next.sign_raw(&message)),
            proof: bytes_of(key.sign_raw(&message)),
        };
        answered(ACTION, ClientsClient::new(channel).recover(request).await)
    }
}
