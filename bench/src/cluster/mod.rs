//! A small real cluster for the parts that need one: one voter, one node with one group, clients of their own accounts.

mod account;

use std::path::Path;

use anyhow::Context as _;
use holdfast_integration_tests::cluster::{Cluster, Server};
use tokio::runtime::{Builder, Runtime};

pub(crate) use account::Account;

use crate::output;

/// Replicas of a group.
const REPLICAS: u32 = 3;

/// The processes, and the clients that were registered so far.
pub(crate) struct Running {
    /// Voters, nodes and their TPMs.
    pub(crate) cluster: Cluster,
    /// Where clients run.
    pub(crate) runtime: Runtime,
    accounts: Vec<Account>,
}

impl Running {
    /// Founds a cluster below `folder` and starts its processes.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        output::complain("starting a cluster of one voter and one node");
        let cluster = Cluster::start(folder, 1, 1)?;
        cluster.create_groups(1)?;
        Ok(Self { cluster, runtime: runtime()?, accounts: Vec::new() })
    }

    /// Founds one of this many nodes with one group of three replicas.
    pub(crate) fn replicated(folder: &Path, nodes: usize) -> anyhow::Result<Self> {
        Self::of(folder, nodes, 1)
    }

    /// Founds one of this many nodes and groups, three replicas each.
    pub(crate) fn of(folder: &Path, nodes: usize, groups: usize) -> anyhow::Result<Self> {
        let cluster = Cluster::start(folder, 1, nodes)?;
        cluster.create_groups_of(u32::try_from(groups).context("too many groups")?, REPLICAS)?;
        Ok(Self { cluster, runtime: runtime()?, accounts: Vec::new() })
    }

    /// The voter.
    pub(crate) fn voter(&self) -> anyhow::Result<&Server> {
        self.cluster.voters.first().context("no voter")
    }

    /// The node.
    pub(crate) fn node(&mut self) -> anyhow::Result<&mut Server> {
        self.cluster.node(0)
    }

    /// At least this many clients, each of an account of its own.
    pub(crate) fn accounts(&mut self, count: usize) -> anyhow::Result<&[Account]> {
        let missing = count.saturating_sub(self.accounts.len());
        if missing > 0 {
            let more = account::register(&self.cluster, &self.runtime, self.accounts.len(), missing)?;
            self.accounts.extend(more);
        }
        Ok(&self.accounts)
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().context("a runtime")
}
