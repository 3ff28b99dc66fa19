//! A whole cluster on this machine: voters, nodes, their TPMs, an operator and accounts, below one folder.
//!
//! ```text
//! tpm-ca/ tpm/NAME/     software TPMs
//! voter-N/ node-N/      data folders
//! operator/ shares/     what genesis hands to people
//! config.toml           of `holdfast`: the operator and every account as contexts
//! accounts/ tickets/ invites/
//! logs/                 one file a server process
//! calls.log             every call of `holdfast` (it names files: clients' machines may)
//! cluster.json          what `holdfast-demo start` needs to start all of this again
//! ```

pub mod accounts;
mod admit;
mod genesis;
pub mod groups;
pub mod kept;
pub mod operator;
pub mod server;
pub mod slots;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use holdfast_faults::network::Network;

pub use accounts::Account;
pub use genesis::Founded;
pub use server::{Role, Server};

use crate::{binaries::Binaries, cli::Program, tpm::Boot, wait};

/// How long a process may take to listen, on a machine that is busy compiling.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the cluster may take to agree on something.
pub const AGREE_TIMEOUT: Duration = Duration::from_secs(60);

/// A cluster. Everything of it ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    binaries: Binaries,
    /// Where its machines are, if not all on this one.
    network: Option<Network>,
    /// Known after the founding.
    pub founded: Option<Founded>,
    /// Voters, in the order in which they joined.
    pub voters: Vec<Server>,
    /// Nodes, in the order in which they joined.
    pub nodes: Vec<Server>,
}

impl Cluster {
    /// A cluster that will live below `folder`.
    ///
    /// # Errors
    /// The folder or the programs are not there.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize().context("the cluster's folder")?;
        let binaries = Binaries::find()?;
        Ok(Self { folder, binaries, network: None, founded: None, voters: vec![], nodes: vec![] })
    }

    /// The same, with each server on a machine of its own in a network.
    ///
    /// # Errors
    /// As before, or the kernel makes no network (are we root?).
    pub fn new_in_network(folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Self::new(folder)?;
        cluster.network = Some(Network::new()?);
        Ok(cluster)
    }

    /// A started cluster of this size with an approved boot state: the start of most tests.
    ///
    /// # Errors
    /// See the steps.
    pub fn start(folder: &Path, voters: usize, nodes: usize) -> anyhow::Result<Self> {
        let mut cluster = Self::new(folder)?;
        cluster.found()?;
        for _ in 1..voters {
            cluster.add_voter()?;
        }
        for _ in 0..nodes {
            cluster.add_node()?;
        }
        Ok(cluster)
    }

    /// A cluster of one voter with nodes, groups and one account.
    ///
    /// # Errors
    /// See the steps.
    pub fn with_account(folder: &Path, nodes: usize, groups: u32) -> anyhow::Result<(Self, Account)> {
        let cluster = Self::start(folder, 1, nodes)?;
        cluster.create_groups(groups)?;
        let account = cluster.add_account("ann", "1GiB")?;
        Ok((cluster, account))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file or folder of it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a file is fetched to: a place where there is none.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn fetched(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.path("got");
        fs::create_dir_all(&folder).context("the folder of fetched files")?;
        let file = folder.join(name);
        drop(fs::remove_file(&file));
        Ok(file)
    }

    /// The programs.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// What the founding gave.
    ///
    /// # Errors
    /// It was not founded yet.
    pub fn founded(&self) -> anyhow::Result<&Founded> {
        self.founded.as_ref().context("the cluster is not founded yet")
    }

    /// `holdfast` with this cluster's configuration; without a context it is the operator.
    pub fn holdfast(&self) -> Program {
        let log = self.path("calls.log");
        let config = self.path("config.toml");
        Program::new(self.binaries.holdfast(), &log).with_env("HOLDFAST_CONFIG", config.display().to_string())
    }

    /// All servers.
    pub fn servers(&mut self) -> impl Iterator<Item = &mut Server> {
        self.voters.iter_mut().chain(&mut self.nodes)
    }

    /// Ports of everything that listens.
    pub fn ports(&self) -> Vec<u16> {
        self.voters.iter().chain(&self.nodes).map(Server::port).collect()
    }

    /// A voter by its position.
    ///
    /// # Errors
    /// There are fewer.
    pub fn voter(&mut self, index: usize) -> anyhow::Result<&mut Server> {
        self.voters.get_mut(index).with_context(|| format!("no voter {}", index + 1))
    }

    /// A node by its position.
    ///
    /// # Errors
    /// There are fewer.
    pub fn node(&mut self, index: usize) -> anyhow::Result<&mut Server> {
        self.nodes.get_mut(index).with_context(|| format!("no node {}", index + 1))
    }

    /// Stops everything in order, nodes first, and switches the TPMs off.
    ///
    /// # Errors
    /// A process does not end as it should.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        stop_all(&mut self.nodes)?;
        stop_all(&mut self.voters)?;
        self.servers().for_each(|server| server.machine.power_off());
        Ok(())
    }

    /// Stops all voters; the nodes go on.
    ///
    /// # Errors
    /// A process does not end as it should.
    pub fn stop_voters(&mut self) -> anyhow::Result<()> {
        stop_all(&mut self.voters)
    }

    /// Starts all voters again and waits for a leader.
    ///
    /// # Errors
    /// There is none in time.
    pub fn start_voters(&mut self) -> anyhow::Result<()> {
        for voter in &mut self.voters {
            voter.start()?;
        }
        for voter in &mut self.voters {
            voter.wait_listening()?;
        }
        self.wait_leader()?;
        Ok(())
    }

    /// Starts everything again from nothing, TPMs included.
    ///
    /// # Errors
    /// Something does not come back.
    pub fn cold_start(&mut self) -> anyhow::Result<()> {
        for server in self.servers() {
            server.machine.boot(Boot::Good)?;
        }
        for server in self.servers() {
            server.start()?;
        }
        for server in self.servers() {
            server.wait_listening()?;
        }
        self.wait_leader()?;
        Ok(())
    }

    /// A process of ours that ended by itself, or else the one that complained last: where to look after a failure.
    pub fn suspect(&mut self) -> Option<(String, String)> {
        let ended = self
            .servers()
            .find_map(|server| server.ended_by_itself().then(|| (server.log(), server.log_tail())));
        let complaining = |server: &&Server| server.log_tail().contains("ERROR");
        let complaining = || self.voters.iter().chain(&self.nodes).rfind(complaining);
        let tail_of = |server: &Server| (server.log(), server.log_tail());
        let (log, tail) = ended.or_else(|| complaining().map(tail_of))?;
        Some((log.display().to_string(), tail))
    }

    /// Waits until a leader answers, and says which voter it is.
    ///
    /// # Errors
    /// None does.
    pub fn wait_leader(&self) -> anyhow::Result<usize> {
        wait::until(AGREE_TIMEOUT, "a leader of the registry", || self.leader())
    }

    /// The position of the leading voter, if there is one.
    ///
    /// # Errors
    /// No voter answers.
    pub fn leader(&self) -> anyhow::Result<Option<usize>> {
        let status = self.status()?;
        let leader = status.leader.as_deref().unwrap_or_default();
        Ok(self.voters.iter().position(|voter| voter.node.as_deref() == Some(leader)))
    }

    /// That every server still runs.
    ///
    /// # Errors
    /// One does not.
    pub fn expect_all_running(&mut self) -> anyhow::Result<()> {
        for server in self.servers() {
            if !server.is_running() {
                bail!("{} has ended: {}", server.name(), server.log_tail());
            }
        }
        Ok(())
    }
}

fn stop_all(servers: &mut [Server]) -> anyhow::Result<()> {
    for server in servers.iter_mut() {
        server.begin_stop()?;
    }
    for server in servers {
        server.finish_stop().with_context(|| format!("stopping {}", server.name()))?;
    }
    Ok(())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nodes first, so that their logs do not fill with complaints about voters.
        self.nodes.clear();
        self.voters.clear();
    }
}
