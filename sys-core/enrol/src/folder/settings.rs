//! `folder.toml`: who a data folder belongs to.

use std::{fs, io, path::Path};

use holdfast_domain::{ClusterId, EkHash, NodeId, NodeRole, ReplicaId, RootHash};
use serde::{Deserialize, Serialize};

use super::FolderError;

/// Who a machine is and where it is reached. Contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The cluster.
    pub cluster: ClusterId,
    /// Pin of the cluster's root.
    pub root: RootHash,
    /// This machine.
    pub node: NodeId,
    /// What it is.
    pub role: NodeRole,
    /// The TPM that everything here is sealed to.
    pub ek: EkHash,
    /// Its Raft id in the registry's group; registry members only.
    pub replica: Option<ReplicaId>,
    /// Where the TPM is: a TCTI such as `device:/dev/tpmrm0`.
    pub tpm: String,
    /// Socket to listen on, `host:port`.
    pub listen: String,
    /// Where others reach it, `host:port`.
    pub advertise: String,
    /// Registry members to ask at first.
    pub registries: Vec<String>,
    /// Failure domain; empty where none was given.
    pub zone: String,
}

/// The file's own shape: text only, so that a person can read it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    cluster: String,
    root: String,
    node: String,
    role: String,
    ek: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<u64>,
    tpm: String,
    listen: String,
    advertise: String,
    registries: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    zone: String,
}

impl Settings {
    pub(super) fn to_toml(&self) -> String {
        let Self { cluster, root, node, role, ek, replica, tpm, listen, advertise, registries, zone } = self;
        let raw = Raw {
            cluster: cluster.to_string(),
            root: root.to_string(),
            node: node.to_string(),
            role: role.to_string(),
            ek: ek.to_string(),
            replica: replica.map(|id| id.0),
            tpm: tpm.clone(),
            listen: listen.clone(),
            advertise: advertise.clone(),
            registries: registries.clone(),
            zone: zone.clone(),
        };
        toml::to_string(&raw).unwrap_or_default()
    }
}

pub(super) fn read(path: &Path) -> Result<Settings, FolderError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::from("\u{0}"),
        Err(source) => return Err(FolderError::Io { action: "read", path: path.to_owned(), source }),
    };
    let wrong = |reason: String| FolderError::Settings { path: path.to_owned(), reason };
    let raw: Raw = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    parse(raw).map_err(wrong)
}

fn parse(raw: Raw) -> Result<Settings, String> {
    fn field<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, text: &str) -> Result<T, String> {
        text.parse().map_err(|error| format!("`{name}`: {error}"))
    }
    let Raw { cluster, root, node, role, ek, replica, tpm, listen, advertise, registries, zone } = raw;
    Ok(Settings {
        cluster: field("cluster", &cluster)?,
        root: field("root", &root)?,
        node: field("node", &node)?,
        role: field("role", &role)?,
        ek: field("ek", &ek)?,
        replica: replica.map(ReplicaId),
        tpm,
        listen,
        advertise,
        registries,
        zone: checked_zone(zone)?,
    })
}

/// Longest name of a failure domain.
const MAX_ZONE: usize = 64;

/// A name that people type: bounded, and without what a terminal would act upon.
fn checked_zone(zone: String) -> Result<String, String> {
    if zone.len() <= MAX_ZONE && !zone.chars().any(char::is_control) {
        Ok(zone)
    } else {
        Err(format!("`zone`: at most {MAX_ZONE} bytes, without control characters"))
    }
}
