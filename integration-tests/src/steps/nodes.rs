//! Step 3: five nodes by the three ways in, and who they are.

use anyhow::{Context as _, ensure};
use holdfast_certs::{Dialer, ExpectedServer};
use holdfast_client::credential::OperatorCredential;
use holdfast_domain::NodeId;

use crate::{job::Job, network::act, report::Progress};

/// Three nodes join by their EK, one with a ticket, one after an approval.
///
/// # Errors
/// One does not, or is not who it should be.
pub fn join_nodes(job: &mut Job, progress: &Progress) -> anyhow::Result<String> {
    for number in 1..=3 {
        progress.say(format!("node {number} joins by its EK"));
        job.cluster.add_node()?;
    }
    progress.say("node 4 joins with a ticket");
    job.cluster.add_node_by_ticket()?;
    progress.say("node 5 joins after an approval");
    job.cluster.add_node_by_approval()?;
    check_rows(job)?;
    check_identities(job)?;
    Ok("3 by EK, 1 by ticket, 1 by approval".to_owned())
}

/// What the registry recorded.
fn check_rows(job: &Job) -> anyhow::Result<()> {
    let rows = job.cluster.node_rows()?;
    let mut ways = Vec::new();
    for node in &job.cluster.nodes {
        let row = rows.iter().find(|row| Some(&row.node) == node.node.as_ref());
        let row = row.with_context(|| format!("{} is not listed", node.name()))?;
        ensure!(row.ek == node.ek && row.role == "node" && !row.banned, "{} is listed wrongly", node.name());
        ways.push(row.admitted_by.as_str());
    }
    ensure!(ways == ["ek", "ek", "ek", "ticket", "approval"], "admitted by {ways:?}");
    Ok(())
}

/// Each node shows a certificate for its own id, below the pinned root.
fn check_identities(job: &Job) -> anyhow::Result<()> {
    // Nodes do not send the root along: the operator's credential has the bundle.
    let trust = OperatorCredential::open(&job.cluster.credential(), None)?.trust().live();
    for node in &job.cluster.nodes {
        let id: NodeId = node.node.as_deref().context("no node id")?.parse()?;
        let address = node.address();
        let dialed = act(async {
            let dialer = Dialer::new(trust.clone(), None);
            Ok(dialer.connect(&address, &ExpectedServer::Node(id)).await?.server)
        });
        let server = dialed.with_context(|| format!("dialing {}", node.name()))?;
        ensure!(
            server.spiffe.to_string().ends_with(&format!("/node/{id}")),
            "{} is {}",
            node.name(),
            server.spiffe
        );
    }
    Ok(())
}
