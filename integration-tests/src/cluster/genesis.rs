//! The founding: `holdfast-registry init`, and what it hands to people.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use holdfast_domain::RootHash;
use serde::{Deserialize, Serialize};

use super::{Cluster, Role, Server};
use crate::{
    ports,
    process::Place,
    tpm::{Boot, Machine},
};

/// Officers, and how many of them open the recovery key together.
const SHARES: (u8, u8) = (5, 3);

/// What a founding prints.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Founded {
    /// The cluster's id.
    pub cluster: String,
    /// The root's hash, which everyone pins.
    pub root_hash: String,
}

impl Founded {
    /// The pin as a value.
    ///
    /// # Errors
    /// It is none.
    pub fn root(&self) -> anyhow::Result<RootHash> {
        self.root_hash.parse().context("root hash")
    }
}

impl Cluster {
    /// Makes the first voter found the cluster, starts it, and makes its operator ours.
    ///
    /// # Errors
    /// The programs refuse.
    pub fn found(&mut self) -> anyhow::Result<()> {
        let mut voter = self.new_server(Role::Registry, 1, Boot::Good)?;
        let answer = voter.cli().json(self.init_arguments(&voter)?).context("founding the cluster")?;
        let field = |name: &str| {
            let value = answer.get(name).and_then(|value| value.as_str());
            value.map(str::to_owned).with_context(|| format!("`init` says no `{name}`: {answer}"))
        };
        self.founded = Some(Founded { cluster: field("cluster")?, root_hash: field("root_hash")? });
        voter.node = Some(field("node")?);
        voter.start_and_wait()?;
        self.voters.push(voter);
        self.use_operator()?;
        self.wait_leader()?;
        self.approve_boot(Role::Node, Boot::Good)
    }

    /// Makes the operator's credential a context that knows all voters.
    ///
    /// # Errors
    /// It is no credential.
    pub fn use_operator(&self) -> anyhow::Result<()> {
        let mut arguments = vec!["operator".to_owned(), "use".to_owned()];
        arguments.push(self.credential().display().to_string());
        for registry in self.registries() {
            arguments.extend(["--registry".to_owned(), registry]);
        }
        self.holdfast().ok(arguments).context("using the operator's credential")?;
        Ok(())
    }

    /// The operator's credential.
    pub fn credential(&self) -> PathBuf {
        self.path("operator")
    }

    /// The officers' shares.
    ///
    /// # Errors
    /// They cannot be listed.
    pub fn shares(&self) -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(self.path("shares")).context("the shares")?;
        let mut shares = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        shares.sort();
        Ok(shares)
    }

    /// A machine that is in no cluster yet, booted.
    ///
    /// # Errors
    /// swtpm or the program does not work.
    pub fn new_server(&self, role: Role, number: usize, boot: Boot) -> anyhow::Result<Server> {
        let (kind, program) = match role {
            Role::Registry => ("voter", self.binaries.registry()),
            Role::Node => ("node", self.binaries.node()),
        };
        self.named_server(role, &format!("{kind}-{number}"), program, boot)
    }

    /// The same under any name.
    ///
    /// # Errors
    /// swtpm or the program does not work.
    pub fn named_server(
        &self,
        role: Role,
        name: &str,
        program: PathBuf,
        boot: Boot,
    ) -> anyhow::Result<Server> {
        let machine = Machine::manufacture(&self.path("tpm-ca"), &self.path("tpm").join(name))?;
        let place = match &self.network {
            Some(network) => Place::Machine(network.join()?),
            None => Place::Here,
        };
        let mut machine = machine.moved_to(place);
        machine.boot(boot)?;
        Server::new(name, role, program, &self.folder, ports::one()?, machine)
    }

    fn init_arguments(&self, voter: &Server) -> anyhow::Result<Vec<String>> {
        let text = |path: PathBuf| path.display().to_string();
        let mut arguments = vec!["init".to_owned(), "--admit-virtual-tpms".to_owned()];
        for (name, value) in [
            ("--data", text(voter.data().to_owned())),
            ("--listen", voter.address()),
            ("--tpm", voter.machine.tcti()),
            ("--ek-root", text(voter.machine.ek_root()?)),
            ("--ek-chain", text(voter.machine.ek_intermediate()?)),
            ("--credential", text(self.credential())),
            ("--shares", text(self.path("shares"))),
            ("--share-count", SHARES.0.to_string()),
            ("--share-threshold", SHARES.1.to_string()),
            ("--pcrs", "7,11".to_owned()),
        ] {
            arguments.extend([name.to_owned(), value]);
        }
        Ok(arguments)
    }
}
