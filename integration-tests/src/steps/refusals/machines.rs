//! Machines that are not what they were.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::joins::machine;
use crate::{
    cluster::{Cluster, Role},
    tpm::{Boot, Machine},
};

const END: Duration = Duration::from_secs(30);

/// A node's disk with another machine's TPM.
///
/// # Errors
/// It starts.
pub fn swapped_tpm(cluster: &mut Cluster) -> anyhow::Result<()> {
    let mut other = machine(cluster, "other-tpm")?;
    other.machine.power_off();
    let (ca, state) = (cluster.path("tpm-ca"), cluster.path("tpm/other-tpm"));
    let node = cluster.node(0)?;
    node.stop()?;
    node.machine.power_off();
    // In the place of the right one: same port, other chip.
    let mut wrong = Machine::at(&ca, &state, node.machine.port())?;
    wrong.boot(Boot::Good)?;
    expect_end(cluster, &["tpm_swapped"])?;
    drop(wrong);
    let node = cluster.node(0)?;
    node.machine.boot(Boot::Good)?;
    node.start_and_wait().context("the right TPM again")
}

/// A machine with a changed kernel: neither joins nor unseals.
///
/// # Errors
/// It does.
pub fn changed_boot(cluster: &mut Cluster) -> anyhow::Result<()> {
    let name = "changed-kernel";
    let mut changed = cluster.named_server(Role::Node, name, cluster.binaries().node(), Boot::Changed)?;
    cluster.allow(&changed.ek, Role::Node)?;
    let arguments = changed.join_arguments(&cluster.registries(), &cluster.founded()?.root_hash)?;
    changed.cli().refused(arguments, "pcr_not_approved")?;
    changed.machine.power_off();
    let node = cluster.node(0)?;
    node.stop()?;
    node.machine.boot(Boot::Changed)?;
    expect_end(cluster, &["pcr_not_approved"])?;
    let node = cluster.node(0)?;
    node.machine.boot(Boot::Good)?;
    node.start_and_wait().context("the approved kernel again")
}

/// Starts the first node and expects it to end by itself, saying all of these.
fn expect_end(cluster: &mut Cluster, said: &[&str]) -> anyhow::Result<()> {
    let node = cluster.node(0)?;
    node.start()?;
    let status = node.wait_end(END)?;
    ensure!(!status.success(), "it ended with success");
    let log = node.log_since_start();
    for word in said {
        ensure!(log.contains(word), "it ended without saying {word}: {log}");
    }
    // Takes note of the end.
    node.kill()
}
