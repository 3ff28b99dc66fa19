//! Attested joins of software TPMs at a real registry, beside the same TPM commands without a registry: what is left is ours.

use std::path::PathBuf;

use anyhow::Context as _;
use holdfast_certs::csr;
use holdfast_domain::{CredentialBlob, NodeRole, PcrSelection, RootHash};
use holdfast_enrol::{
    attested::{self, JoinRequest, Joined},
    machine::Machine,
};
use holdfast_integration_tests::{
    cluster::{Cluster, Role, Server},
    tpm::MEASURED,
};
use holdfast_keys::SoftSigner;
use holdfast_tpm_node::swtpm::EkAuthority;
use holdfast_tpm_verify::join::make_challenge;

use super::{Setting, join_cost};
use crate::{
    figure::Figure,
    measure::{cpu, load, us},
};

/// Machines that join at once.
const MACHINES: usize = 4;

/// Joins of each: the registry takes a burst of 20 from one EK and slows it down then.
const JOINS_EACH: usize = 18;

pub(crate) fn run(setting: &mut Setting) -> anyhow::Result<Vec<Figure>> {
    let span = setting.span * 4;
    let verifier = join_cost::verifier(setting.span)?.ours;
    let running = setting.cluster()?;
    let runtime = running.runtime.handle().clone();
    let servers = (0..MACHINES).map(|number| admitted(&running.cluster, number));
    let servers: Vec<Server> = servers.collect::<anyhow::Result<_>>()?;
    let root = running.cluster.founded()?.root()?;
    let registries = running.cluster.registries();
    let joiners = servers.iter().map(|server| runtime.block_on(Joiner::new(&running.cluster, server)));
    let joiners: Vec<Joiner> = joiners.collect::<anyhow::Result<_>>()?;
    let joiner = |number: usize| joiners.get(number).context("no machine");
    let voter = running.voter()?.process_id()?;
    let before = cpu::of(voter)?;
    let registries = &registries;
    let joins = runtime.block_on(load::run_at_most(MACHINES, JOINS_EACH, span, |number| async move {
        joiner(number)?.join(registries, root).await
    }))?;
    let used = us(cpu::of(voter)?.saturating_sub(before)) / joins.calls();
    let alone = runtime.block_on(load::run_at_most(MACHINES, JOINS_EACH, span, |number| async move {
        joiner(number)?.tpm_commands().await
    }))?;
    let reference = "the same TPM commands alone";
    Ok(vec![
        Figure::new("attested joins, 4 TPMs", "/s", joins.rate()).against(alone.rate(), reference),
        Figure::new("attested join: p50", "ms", joins.percentile(50))
            .against(alone.percentile(50), reference),
        Figure::new("attested join: p99", "ms", joins.percentile(99))
            .against(alone.percentile(99), reference),
        Figure::new("attested join: the registry's CPU", "us", used)
            .against(verifier, "verifier's part of it"),
    ])
}

/// A booted machine that operators admitted.
fn admitted(cluster: &Cluster, number: usize) -> anyhow::Result<Server> {
    let program = cluster.binaries().node();
    let name = format!("joiner-{number}");
    let boot = holdfast_integration_tests::tpm::Boot::Good;
    let server = cluster.named_server(Role::Node, &name, program, boot)?;
    cluster.allow(&server.ek, Role::Node)?;
    Ok(server)
}

/// A machine that joins again and again.
struct Joiner {
    machine: Machine,
    listener: SoftSigner,
    address: String,
    credential: CredentialBlob,
}

impl Joiner {
    async fn new(cluster: &Cluster, server: &Server) -> anyhow::Result<Self> {
        let keys_dir: PathBuf = server.data().join("tpm");
        std::fs::create_dir_all(&keys_dir).context("making a folder for TPM keys")?;
        let chain = vec![EkAuthority::open(&cluster.path("tpm-ca"))?.intermediate_der()?];
        let machine = Machine::open(&server.machine.tcti(), keys_dir, chain).await?;
        let (ek, ak) = (machine.keys().ek.public(), machine.keys().ak.public());
        let credential = make_challenge(ek.as_bytes(), ak.as_bytes())?.credential;
        Ok(Self { machine, listener: SoftSigner::generate()?, address: server.address(), credential })
    }

    async fn join(&self, registries: &[String], root: RootHash) -> anyhow::Result<()> {
        let request = JoinRequest {
            machine: &self.machine,
            listener: &self.listener,
            role: NodeRole::Node,
            advertise: &self.address,
            node: None,
            ticket: None,
            queue: false,
        };
        match attested::join(registries, root, &request).await.context("an attested join")? {
            Joined::Granted(_) => Ok(()),
            Joined::Pending { .. } => anyhow::bail!("an admitted machine was queued"),
        }
    }

    /// The commands that a join gives to its TPM.
    async fn tpm_commands(&self) -> anyhow::Result<()> {
        let (tpm, selection) = (self.machine.tpm(), PcrSelection::try_from(MEASURED.to_vec())?);
        let signer = self.machine.signer();
        tokio::task::spawn_blocking(move || csr::create(&signer)).await??;
        tpm.activate(self.credential.clone()).await?;
        tpm.pcr_values(&selection).await?;
        tpm.certify_tls([7; 32]).await?;
        tpm.certify_srk([7; 32]).await?;
        tpm.quote(&selection, [7; 32]).await?;
        Ok(())
    }
}
