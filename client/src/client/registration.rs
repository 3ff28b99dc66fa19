//! Certificates for a client's key: learning about the cluster, registering, renewing.

use std::time::Duration;

use holdfast_certs::{CertChain, csr};
use holdfast_domain::{RootHash, Signature64, UnixMs};
use holdfast_keys::{ClientKey, OneTime, Registration, Renewal};
use holdfast_proto::registry::v1::{
    self as pb, clients_client::ClientsClient, directory_client::DirectoryClient,
};

use crate::{
    Error, Registries,
    credential::{ClientDescription, NewClientCredential, chain_of},
    error::Answer,
    registries::Repeat,
    time::now,
    trust::Trust,
};

/// Root and genesis record from a registry that chains to the pin.
pub(crate) async fn bootstrap(registries: &Registries, pin: RootHash) -> Result<Trust, Error> {
    const ACTION: &str = "learn about the cluster";
    let reply = registries.call(ACTION, Repeat::Safe, |channel| {
        let mut directory = DirectoryClient::new(channel);
        async move { directory.bootstrap(pb::BootstrapRequest {}).await.map(tonic::Response::into_inner) }
    });
    let pb::BootstrapReply { bundle, voters: _, server_time_ms } = reply.await?;
    let ahead = now().since(UnixMs(server_time_ms)).max(UnixMs(server_time_ms).since(now()));
    if ahead > 60_000 {
        tracing::warn!(seconds = ahead / 1000, "this machine's clock and the cluster's differ");
    }
    let missing = || Error::Reply { action: ACTION.to_owned(), what: "trust bundle" };
    Ok(Trust::from_wire(pin, &bundle.ok_or_else(missing)?)?)
}

pub(super) async fn register(
    registries: &Registries,
    new: &NewClientCredential,
    invite: &OneTime,
    action: &str,
) -> Result<CertChain, Error> {
    let dialed = registries.dial(action).await?;
    let csr = csr::create_ed25519(new.key()).map_err(Error::signing)?;
    let invite_key = invite.key();
    let ClientDescription { account, client, cluster, .. } = new.description();
    let message = Registration {
        cluster: *cluster,
        exporter: dialed.exporter.as_bytes(),
        account: *account,
        client: *client,
        csr: &csr,
        invite: invite_key.public().into(),
    }
    .message();
    let request = pb::RegisterRequest {
        account_id: account.as_bytes().to_vec().into(),
        client_id: client.as_bytes().to_vec().into(),
        csr: csr.into(),
        proof: bytes_of(new.key().sign_raw(&message)),
        invite_public: invite_key.public().as_bytes().to_vec().into(),
        invite_signature: bytes_of(invite_key.sign_raw(&message)),
    };
    let reply = ClientsClient::new(dialed.channel).register(request).await;
    granted(reply, new.trust(), action)
}

pub(crate) async fn renew(
    registries: &Registries,
    description: &ClientDescription,
    key: &ClientKey,
    trust: &Trust,
) -> Result<CertChain, Error> {
    const ACTION: &str = "renew this client's certificate";
    let dialed = registries.dial(ACTION).await?;
    let csr = csr::create_ed25519(key).map_err(Error::signing)?;
    let ClientDescription { client, cluster, .. } = description;
    let exporter = dialed.exporter.as_bytes();
    let message = Renewal { cluster: *cluster, exporter, client: *client, csr: &csr }.message();
    let request = pb::RenewRequest {
        client_id: client.as_bytes().to_vec().into(),
        csr: csr.into(),
        proof: bytes_of(key.sign_raw(&message)),
    };
    let reply = ClientsClient::new(dialed.channel).renew(request).await;
    granted(reply, trust, ACTION)
}

fn granted(
    reply: Result<tonic::Response<pb::ClientGrant>, tonic::Status>,
    trust: &Trust,
    action: &str,
) -> Result<CertChain, Error> {
    let reply = reply.map_err(|status| Answer::of(&status).into_error(action, Duration::ZERO))?;
    let pb::ClientGrant { chain, bundle, renew_after_ms: _, quota_bytes: _ } = reply.into_inner();
    if let Some(bundle) = bundle {
        // Nothing in it is new to us, but a cluster that shows another root here is not ours.
        Trust::from_wire(trust.root_hash(), &bundle)?;
    }
    let bad = |_| Error::Reply { action: action.to_owned(), what: "certificate chain" };
    chain_of(&chain).map_err(bad)
}

pub(crate) fn bytes_of(signature: Signature64) -> bytes::Bytes {
    signature.0.to_vec().into()
}
