//! A newcomer without a leader looks for the registry's present members: those in its grant may have changed since.

use std::sync::Arc;

use holdfast_domain::{ReplicaId, VoterEndpoint};
use holdfast_enrol::registries::Registries;
use holdfast_proto::registry::v1::{BootstrapRequest, Voter as VoterRow, directory_client::DirectoryClient};

use holdfast_sys_core::Refusal;

use super::KnownVoters;
use crate::{limits::LEARN_INTERVAL, services::wire, voter::Voter};

/// Runs until the replicated state is here.
pub(super) async fn run(voter: Arc<Voter>, known: KnownVoters) {
    let own = &voter.member.settings().advertise;
    let addresses = voter.member.registry_addresses().unwrap_or_default();
    let others = addresses.into_iter().filter(|address| address != own).collect();
    // The identity of the TPM is not needed to ask, and an expired leaf must not be shown.
    let dialer = holdfast_certs::Dialer::new(voter.member.trust.clone(), None);
    let registries = Registries::new(others, dialer);
    while voter.core.state().founded().is_none() {
        tokio::time::sleep(LEARN_INTERVAL).await;
        let ask = |channel| async {
            Ok(DirectoryClient::new(channel).bootstrap(BootstrapRequest {}).await?.into_inner())
        };
        let Ok(reply) = registries.call(ask).await else { continue };
        let voters: Option<Vec<VoterEndpoint>> = reply.voters.iter().map(|row| endpoint(row).ok()).collect();
        if let Some(voters) = voters.filter(|voters| !voters.is_empty()) {
            registries.learn(&voters);
            if voter.core.state().founded().is_none() {
                known.replace(voters);
            }
        }
    }
}

/// A member of the registry, as another member described it.
fn endpoint(row: &VoterRow) -> Result<VoterEndpoint, Refusal> {
    let VoterRow { node_id, replica_id, address, spki_hash } = row;
    Ok(VoterEndpoint {
        node: wire::id(node_id, "node id")?,
        replica: ReplicaId(*replica_id),
        address: address.clone(),
        spki: wire::id(spki_hash, "key hash")?,
    })
}
