//! Certificates of another cluster or another role.

use holdfast_certs::{Dialer, LiveIdentity};
use holdfast_client::credential::{ClientCredential, OperatorCredential};

use super::joins::machine;
use crate::{
    adversary::outsider::{Outsider, status, takes_for_registry},
    cluster::Cluster,
    network::act,
};

/// Operators and voters of another cluster get nothing here, and their trust refuses our voters.
///
/// # Errors
/// They get in.
pub fn other_cluster(cluster: &mut Cluster) -> anyhow::Result<()> {
    let root = cluster.founded()?.root()?;
    let voter = cluster.voter(0)?.address();
    let outsider = Outsider::new()?;
    // The voter ends the handshake: nothing above TLS is ever reached.
    let ended = ["transport::Error", "wrong_cluster"];
    act(async {
        outsider.asks_as_operator(&voter, root).await?.expect(&ended)?;
        outsider.asks_as_registry(&voter, root).await?.expect(&ended)?;
        outsider.meets(&voter).await.expect(&["wrong_cluster"])
    })?;
    let stranger = machine(cluster, "lost")?;
    let wrong = hex::encode([0x5a; 32]);
    let arguments = stranger.join_arguments(&cluster.registries(), &wrong)?;
    stranger.cli().refused(arguments, "wrong_cluster")?;
    Ok(())
}

/// A node is no registry, and a client is no operator.
///
/// # Errors
/// They are taken for it.
pub fn other_role(cluster: &mut Cluster) -> anyhow::Result<()> {
    let (voter, node) = (cluster.voter(0)?.address(), cluster.node(0)?.address());
    let credential = OperatorCredential::open(&cluster.credential(), None)?;
    let operator = LiveIdentity::new(credential.identity()?);
    let trust = credential.trust().live();
    let answer = act(async { Ok(takes_for_registry(trust.clone(), Some(operator), &node).await) })?;
    answer.expect(&["wrong_role"])?;
    let account = cluster.add_account("no-operator", "1MiB")?;
    let client = ClientCredential::open(&cluster.credential_of(&account.context), None)?;
    let identity = LiveIdentity::new(client.checked_identity()?);
    let answer = act(async { Ok(status(Dialer::new(trust, Some(identity)), &voter).await) })?;
    answer.expect(&["not_permitted"])
}
