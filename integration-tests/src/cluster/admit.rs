//! The three ways in: by EK, by ticket, by approval.

use std::{thread, time::Duration};

use anyhow::{Context as _, bail};

use super::{AGREE_TIMEOUT, Cluster, Role, Server};
use crate::{tpm::Boot, wait};

impl Cluster {
    /// Admits a new voter by its EK, lets it join, and promotes it.
    ///
    /// # Errors
    /// See the steps.
    pub fn add_voter(&mut self) -> anyhow::Result<()> {
        let mut voter = self.new_server(Role::Registry, self.voters.len() + 1, Boot::Good)?;
        self.allow(&voter.ek, Role::Registry)?;
        voter.join(&self.registries(), &self.founded()?.root_hash, &[])?;
        voter.start_and_wait()?;
        let node = voter.node.clone().context("no node id")?;
        self.voters.push(voter);
        self.promote(&node)?;
        self.use_operator()
    }

    /// Makes a learner of the registry's group a voter, and waits for it.
    ///
    /// # Errors
    /// It stays a learner.
    pub fn promote(&self, node: &str) -> anyhow::Result<()> {
        let is = |voter: Option<bool>| -> anyhow::Result<bool> {
            let rows = self.status()?.members;
            Ok(rows.iter().any(|row| row.node == node && voter.is_none_or(|voter| row.is_voter == voter)))
        };
        wait::until(AGREE_TIMEOUT, "a learner", || Ok(is(None)?.then_some(())))?;
        self.holdfast().ok(["registry", "promote", node]).context("promoting a learner")?;
        wait::until(AGREE_TIMEOUT, "a voter", || Ok(is(Some(true))?.then_some(())))
    }

    /// Admits a new node by its EK and starts it.
    ///
    /// # Errors
    /// See the steps.
    pub fn add_node(&mut self) -> anyhow::Result<()> {
        let mut node = self.next_node()?;
        self.allow(&node.ek, Role::Node)?;
        node.join(&self.registries(), &self.founded()?.root_hash, &[])?;
        self.take(node)
    }

    /// Lets a new node join with a one-time ticket and starts it.
    ///
    /// # Errors
    /// See the steps.
    pub fn add_node_by_ticket(&mut self) -> anyhow::Result<()> {
        let mut node = self.next_node()?;
        let ticket = self.ticket(node.name(), Role::Node)?;
        node.join(&self.registries(), &self.founded()?.root_hash, &["--ticket-file", &ticket])?;
        self.take(node)
    }

    /// Lets a new node wait in the approval queue, approves it and starts it.
    ///
    /// # Errors
    /// See the steps.
    pub fn add_node_by_approval(&mut self) -> anyhow::Result<()> {
        let mut node = self.next_node()?;
        let (registries, root_hash) = (self.registries(), self.founded()?.root_hash.clone());
        let cluster = &*self;
        thread::scope(|scope| {
            let ek = node.ek.clone();
            let joining = scope.spawn(|| node.join(&registries, &root_hash, &["--wait"]));
            let pending =
                wait::until(Duration::from_secs(30), "a join in the queue", || cluster.pending(&ek))?;
            cluster.holdfast().ok(["node", "approve", &pending, "--ek", &ek]).context("approving a join")?;
            joining.join().unwrap_or_else(|_| bail!("the joining thread panicked"))
        })?;
        self.take(node)
    }

    /// A new ticket's file.
    ///
    /// # Errors
    /// It is refused.
    pub fn ticket(&self, name: &str, role: Role) -> anyhow::Result<String> {
        let folder = self.path("tickets");
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(name).display().to_string();
        self.holdfast().ok(["ticket", "new", "--role", role.as_str(), "--out", &file]).context("a ticket")?;
        Ok(file)
    }

    /// Addresses of all voters.
    pub fn registries(&self) -> Vec<String> {
        self.voters.iter().map(Server::address).collect()
    }

    /// A new, booted machine for a node.
    ///
    /// # Errors
    /// swtpm or the program does not work.
    pub fn next_node(&self) -> anyhow::Result<Server> {
        self.new_server(Role::Node, self.nodes.len() + 1, Boot::Good)
    }

    /// The waiting join of a machine, if there is one.
    fn pending(&self, ek: &str) -> anyhow::Result<Option<String>> {
        let answer = self.holdfast().json(["node", "pending"])?;
        let rows = answer.get("pending").unwrap_or(&answer).as_array().cloned().unwrap_or_default();
        let field = |row: &serde_json::Value, name: &str| row.get(name)?.as_str().map(str::to_owned);
        let row = rows.iter().find(|row| field(row, "ek").as_deref() == Some(ek));
        Ok(row.and_then(|row| field(row, "pending")))
    }

    fn take(&mut self, mut node: Server) -> anyhow::Result<()> {
        node.start_and_wait()?;
        self.nodes.push(node);
        Ok(())
    }
}
