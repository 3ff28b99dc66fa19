//! What `holdfast shard list` says, as far as scenarios want to know it.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::Cluster;

/// One group.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Group {
    pub(super) group: u32,
    pub(super) state: String,
    /// The node that leads it, if one is known.
    #[serde(default)]
    pub(super) leader: Option<String>,
    pub(super) replicas: Vec<Replica>,
}

/// One replica.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Replica {
    pub(super) replica: u64,
    pub(super) node: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) fault: Option<Value>,
}

impl Group {
    /// Whether it has its replicas, all of them voters without a complaint.
    pub(super) fn is_healthy(&self, replicas: usize) -> bool {
        let voters = self.replicas.iter().filter(|replica| replica.state == "voter" && replica.is_sound());
        self.state == "ready" && self.replicas.len() == replicas && voters.count() == replicas
    }

    pub(super) fn is_on(&self, node: &str) -> bool {
        self.replicas.iter().any(|replica| replica.node == node)
    }
}

impl Replica {
    fn is_sound(&self) -> bool {
        match &self.fault {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        }
    }
}

impl Cluster {
    /// All groups with what their replicas say of themselves.
    pub(super) fn group_rows(&self) -> anyhow::Result<Vec<Group>> {
        let listed = self.holdfast().json(["shard", "list"])?;
        let rows = listed.get("groups").cloned().unwrap_or(listed);
        let text = rows.to_string();
        serde_json::from_value(rows).with_context(|| format!("`shard list` says {text}"))
    }
}
