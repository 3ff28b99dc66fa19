//! What operators ask and do, through `holdfast`.

use anyhow::Context as _;
use holdfast_certs::{Dialer, ExpectedServer, LiveIdentity};
use holdfast_client::credential::OperatorCredential;
use holdfast_domain::{AccountId, Slot};
use holdfast_proto::registry::v1::{StatusRequest, operators_client::OperatorsClient};
use holdfast_registry_state::State;
use serde::Deserialize;
use serde_json::Value;

use super::{AGREE_TIMEOUT, Cluster, Role};
use crate::{network::act, tpm::Boot, wait};

/// `holdfast status`.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    /// Node id of the leader.
    pub leader: Option<String>,
    /// Members of the registry's group.
    pub members: Vec<VoterRow>,
    /// Epoch of the map.
    pub map_epoch: u64,
    /// Groups in it.
    pub groups: u32,
    /// Groups that serve.
    pub groups_ready: u32,
    /// Log index that the answering voter has applied.
    pub applied_index: u64,
}

/// One member of the registry's group.
#[derive(Debug, Clone, Deserialize)]
pub struct VoterRow {
    /// Its node id.
    pub node: String,
    /// Whether it votes.
    pub is_voter: bool,
}

/// One row of `holdfast shard list`.
#[derive(Debug, Clone, Deserialize)]
pub struct GroupRow {
    /// Its id.
    pub group: u32,
    /// "founding", "filling", "ready" or "moving".
    pub state: String,
    /// Generation of its key.
    pub key_generation: u32,
    /// Its replicas.
    pub replicas: Vec<ReplicaRow>,
    /// The node that leads, as far as the asked voter has heard.
    pub leader: Option<String>,
}

impl GroupRow {
    /// The node that leads it, or else one that has it.
    ///
    /// # Errors
    /// None does.
    pub fn home(&self) -> anyhow::Result<&str> {
        if let Some(leader) = &self.leader {
            return Ok(leader);
        }
        let voter = self.replicas.iter().find(|replica| replica.state == "voter");
        Ok(&voter.with_context(|| format!("group {} has no voter", self.group))?.node)
    }
}

/// One replica.
#[derive(Debug, Clone, Deserialize)]
pub struct ReplicaRow {
    /// Its Raft id.
    pub replica: u64,
    /// Its machine.
    pub node: String,
    /// "founding", "learner" or "voter".
    pub state: String,
}

/// One row of `holdfast node list`.
#[derive(Debug, Clone, Deserialize)]
pub struct NodeRow {
    /// Its id.
    pub node: String,
    /// Its EK.
    pub ek: String,
    /// "registry" or "node".
    pub role: String,
    /// How it was admitted.
    pub admitted_by: String,
    /// Whether it is banned.
    pub banned: bool,
}

impl Cluster {
    /// The cluster's state.
    ///
    /// # Errors
    /// No voter answers.
    pub fn status(&self) -> anyhow::Result<Status> {
        read(self.holdfast().json(["status"])?, "status")
    }

    /// Log index that one voter has applied, asked of that voter itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn applied_at(&self, voter: &str) -> anyhow::Result<u64> {
        let credential = OperatorCredential::open(&self.credential(), None)?;
        let identity = LiveIdentity::new(credential.identity()?);
        let dialer = Dialer::new(credential.trust().live(), Some(identity));
        act(async {
            let channel = dialer.connect(voter, &ExpectedServer::AnyRegistry).await?.channel;
            let status = OperatorsClient::new(channel).status(StatusRequest {}).await?;
            Ok(status.into_inner().applied_index)
        })
    }

    /// All groups.
    ///
    /// # Errors
    /// No voter answers.
    pub fn groups(&self) -> anyhow::Result<Vec<GroupRow>> {
        read(rows(self.holdfast().json(["shard", "list"])?, "groups"), "groups")
    }

    /// All machines.
    ///
    /// # Errors
    /// No voter answers.
    pub fn node_rows(&self) -> anyhow::Result<Vec<NodeRow>> {
        read(rows(self.holdfast().json(["node", "list"])?, "nodes"), "nodes")
    }

    /// Approves a boot state for a role.
    ///
    /// # Errors
    /// It is refused.
    pub fn approve_boot(&self, role: Role, boot: Boot) -> anyhow::Result<()> {
        let [first, second] = boot.approval();
        let arguments = ["pcr", "approve", "--role", role.as_str(), &first, &second];
        self.holdfast().ok(arguments).context("approving a boot state")?;
        Ok(())
    }

    /// Admits a machine by its EK.
    ///
    /// # Errors
    /// It is refused.
    pub fn allow(&self, ek: &str, role: Role) -> anyhow::Result<()> {
        self.holdfast().ok(["node", "allow", ek, "--role", role.as_str()]).context("admitting a machine")?;
        Ok(())
    }

    /// Waits until all groups are ready.
    ///
    /// # Errors
    /// They do not become ready.
    pub fn wait_groups_ready(&self) -> anyhow::Result<Vec<GroupRow>> {
        wait::until(AGREE_TIMEOUT, "all groups ready", || {
            let groups = self.groups()?;
            let ready = groups.iter().all(|group| group.state == "ready");
            Ok((ready && !groups.is_empty()).then_some(groups))
        })
    }

    /// The registry's state as a backup has it.
    ///
    /// # Errors
    /// No voter gives it, or it is none.
    pub fn export(&self) -> anyhow::Result<State> {
        let file = self.path("export.state");
        drop(std::fs::remove_file(&file));
        self.holdfast().ok(["registry", "export", &file.display().to_string()]).context("exporting")?;
        State::restore(&std::fs::read(&file).context("reading an export")?).context("an export")
    }

    /// The group that serves each of these accounts.
    ///
    /// # Errors
    /// There is no map, or an account has no group.
    pub fn groups_of(&self, accounts: &[AccountId]) -> anyhow::Result<Vec<u32>> {
        let state = self.export()?;
        let cluster = state.genesis().context("no genesis")?.cluster;
        let (_, map) = state.map().context("no map")?;
        let group = |account: &AccountId| map.group_of(Slot::of_home(cluster, *account));
        accounts.iter().map(|account| Ok(group(account).context("no group")?.group.0)).collect()
    }
}

/// Rows, whether they come bare or below a name.
fn rows(value: Value, name: &str) -> Value {
    match value {
        Value::Object(mut fields) => fields.remove(name).unwrap_or(Value::Null),
        other => other,
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> anyhow::Result<T> {
    let text = value.to_string();
    serde_json::from_value(value).with_context(|| format!("`holdfast` says {text} about {what}"))
}
