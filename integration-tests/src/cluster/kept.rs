//! A cluster's description on disk, from which another process starts it again.

use std::{fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::{Cluster, Founded, Role, Server};
use crate::{binaries::Binaries, tpm::Machine};

const FILE: &str = "cluster.json";

#[derive(Serialize, Deserialize)]
struct Kept {
    founded: Founded,
    servers: Vec<KeptServer>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct KeptServer {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) port: u16,
    pub(super) tpm_port: u16,
    pub(super) node: Option<String>,
    pub(super) ek: String,
}

impl Cluster {
    /// Writes the description.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn keep(&self) -> anyhow::Result<()> {
        let keep = |server: &Server| KeptServer {
            name: server.name().to_owned(),
            role: server.role(),
            port: server.port(),
            tpm_port: server.machine.port(),
            node: server.node.clone(),
            ek: server.ek.clone(),
        };
        let servers = self.voters.iter().chain(&self.nodes).map(keep).collect();
        let kept = Kept { founded: self.founded()?.clone(), servers };
        fs::write(self.path(FILE), serde_json::to_vec_pretty(&kept)?).context("keeping the cluster")
    }

    /// Reads the description of a cluster that is switched off.
    ///
    /// # Errors
    /// There is none.
    pub fn kept(folder: &Path) -> anyhow::Result<Self> {
        let mut cluster = Self::new(folder)?;
        let bytes = fs::read(cluster.path(FILE)).context("reading a kept cluster")?;
        let Kept { founded, servers } = serde_json::from_slice(&bytes).context("a kept cluster")?;
        cluster.founded = Some(founded);
        for kept in servers {
            let tpm = cluster.path("tpm").join(&kept.name);
            let machine = Machine::at(&cluster.path("tpm-ca"), &tpm, kept.tpm_port)?;
            let (program, list) = match kept.role {
                Role::Registry => (cluster.binaries.registry(), &mut cluster.voters),
                Role::Node => (cluster.binaries.node(), &mut cluster.nodes),
            };
            list.push(Server::restored(kept, program, &cluster.folder, machine));
        }
        Ok(cluster)
    }

    /// The programs of the running demonstration, for `PATH`.
    pub fn programs(&self) -> &Binaries {
        &self.binaries
    }
}
