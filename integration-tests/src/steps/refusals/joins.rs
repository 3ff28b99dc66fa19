//! Joins that are refused.

use std::sync::Mutex;

use anyhow::{Context as _, ensure};
use holdfast_domain::NodeRole;
use holdfast_enrol::{machine::Machine, member::read_ticket};
use holdfast_proto::registry::v1::{JoinInit, Proof};
use tempfile::TempDir;

use crate::{
    adversary::join::{Attempt, Verdict, attempt},
    cluster::{Cluster, Role, Server},
    network::act,
    tpm::Boot,
};

/// TPMA_OBJECT_restricted: only a restricted key signs nothing but what the TPM made itself.
const RESTRICTED: u32 = 1 << 16;

/// A genuine TPM that no operator admitted.
///
/// # Errors
/// It gets in.
pub fn unknown_ek(cluster: &mut Cluster) -> anyhow::Result<()> {
    let stranger = machine(cluster, "stranger")?;
    let arguments = stranger.join_arguments(&cluster.registries(), &cluster.founded()?.root_hash)?;
    stranger.cli().refused(arguments, "ek_not_admitted")?;
    ensure!(!stranger.data().join("folder.toml").exists(), "a refused join left a data folder");
    Ok(())
}

/// The same proof again, whole and in parts.
///
/// # Errors
/// It is taken.
pub fn replayed_proof(cluster: &mut Cluster) -> anyhow::Result<()> {
    let lab = Lab::new(cluster, "replay", true)?;
    let (verdict, proof) = lab.attempt(cluster, &lab.honest())?;
    ensure!(matches!(verdict, Verdict::Granted(_)), "the honest join ended with {verdict:?}");
    let recorded = proof.context("no proof was sent")?;
    let whole = |proof: &mut Proof| *proof = recorded.clone();
    let attestations = |proof: &mut Proof| {
        proof.certify_tls.clone_from(&recorded.certify_tls);
        proof.certify_srk.clone_from(&recorded.certify_srk);
        proof.quote.clone_from(&recorded.quote);
    };
    let guess = |proof: &mut Proof| proof.credential_proof = vec![7; 32].into();
    type Change<'a> = &'a (dyn Fn(&mut Proof) + Sync);
    let changes: [(Change<'_>, &str); 3] = [
        (&whole, "challenge_unknown"),
        (&attestations, "attestation_freshness"),
        (&guess, "credential_proof"),
    ];
    for (change_proof, reason) in changes {
        lab.attempt(cluster, &Attempt { change_proof, ..lab.honest() })?.0.expect_denied(&[reason])?;
    }
    Ok(())
}

/// A machine that claims to be another one.
///
/// # Errors
/// It is believed.
pub fn another_nodes_id(cluster: &mut Cluster) -> anyhow::Result<()> {
    let lab = Lab::new(cluster, "impostor", true)?;
    let victim = cluster.node(0)?.node.clone().context("no node id")?;
    let victim = hex::decode(victim)?;
    let claim = |init: &mut JoinInit| init.node_id = victim.clone().into();
    let claim = Attempt { change_init: &claim, ..lab.honest() };
    lab.attempt(cluster, &claim)?.0.expect_denied(&["node_id_mismatch"])
}

/// A machine whose AK could sign forged attestations.
///
/// # Errors
/// It is challenged at all.
pub fn unrestricted_ak(cluster: &mut Cluster) -> anyhow::Result<()> {
    let lab = Lab::new(cluster, "forger", true)?;
    let unrestricted = |init: &mut JoinInit| {
        // TPMT_PUBLIC: type, nameAlg, objectAttributes.
        let mut public = init.ak_public.to_vec();
        if let Some(attributes) = public.get_mut(4..8).and_then(|four| <&mut [u8; 4]>::try_from(four).ok()) {
            *attributes = (u32::from_be_bytes(*attributes) & !RESTRICTED).to_be_bytes();
        }
        init.ak_public = public.into();
    };
    let unrestricted = Attempt { change_init: &unrestricted, ..lab.honest() };
    lab.attempt(cluster, &unrestricted)?.0.expect_denied(&["ak_attributes"])
}

/// One ticket, two machines, two voters, at the same moment; then a third.
///
/// # Errors
/// Two get in.
pub fn ticket_twice(cluster: &mut Cluster) -> anyhow::Result<()> {
    let labs = [1, 2, 3].map(|number| Lab::new(cluster, &format!("ticket-{number}"), false));
    let [first, second, third] = labs;
    let (first, second, third) = (first?, second?, third?);
    let file = cluster.ticket("shared", Role::Node)?;
    let ticket = read_ticket(file.as_ref())?;
    let registries = cluster.registries();
    let here = registries.first().context("no voter")?;
    let there = registries.last().context("no voter")?;
    let root = cluster.founded()?.root()?;
    let with = |lab: &Lab, address: &str| {
        act(async {
            Ok(attempt(address, root, &Attempt { ticket: Some(ticket.seed()), ..lab.honest() }).await?.0)
        })
    };
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (lab, address) in [(&first, here), (&second, there)] {
            let (with, verdicts) = (&with, &verdicts);
            scope.spawn(move || {
                let verdict = with(lab, address);
                if let Ok(mut verdicts) = verdicts.lock() {
                    verdicts.push(verdict);
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().map_err(|_| anyhow::anyhow!("a joining thread panicked"))?;
    let verdicts = verdicts.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let granted = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Granted(_))).count();
    ensure!(granted == 1, "one ticket for two machines: {verdicts:?}");
    let loser = verdicts.iter().find(|verdict| !matches!(verdict, Verdict::Granted(_)));
    loser.context("no loser")?.expect_denied(&["ticket_used"])?;
    with(&third, here)?.expect_denied(&["ticket_used"])
}

/// A machine in our hands.
struct Lab {
    // Closed before its TPM is switched off.
    machine: Machine,
    server: Server,
    runtime: tokio::runtime::Runtime,
    _keys: TempDir,
}

impl Lab {
    fn new(cluster: &Cluster, name: &str, admitted: bool) -> anyhow::Result<Self> {
        let server = machine(cluster, name)?;
        if admitted {
            cluster.allow(&server.ek, Role::Node)?;
        }
        let keys = tempfile::tempdir()?;
        let runtime = tokio::runtime::Runtime::new()?;
        let chain = vec![std::fs::read(server.machine.ek_intermediate()?)?];
        let tcti = server.machine.tcti();
        let opened = Machine::open(&tcti, keys.path().to_owned(), chain);
        let machine = runtime.block_on(opened)?;
        Ok(Self { server, machine, runtime, _keys: keys })
    }

    fn honest(&self) -> Attempt<'_> {
        Attempt::honest(&self.machine, NodeRole::Node)
    }

    fn attempt(&self, cluster: &Cluster, what: &Attempt<'_>) -> anyhow::Result<(Verdict, Option<Proof>)> {
        let address = cluster.registries().first().context("no voter")?.clone();
        let root = cluster.founded()?.root()?;
        let made = self.runtime.block_on(attempt(&address, root, what));
        made.with_context(|| format!("an attempt of {}", self.server.name()))
    }
}

/// A booted machine that is in no cluster.
pub(super) fn machine(cluster: &Cluster, name: &str) -> anyhow::Result<Server> {
    cluster.named_server(Role::Node, name, cluster.binaries().node(), Boot::Good)
}
