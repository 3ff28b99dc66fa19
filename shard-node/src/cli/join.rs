//! `holdfast-node join`.

use std::path::PathBuf;

use clap::Args;
use holdfast_certs::read_certificates;
use holdfast_domain::{NodeRole, PendingId, RootHash};
use holdfast_enrol::member::{Enrolment, enrol, read_ticket};
use holdfast_keys::OneTime;

use super::{Output, print, say};

#[derive(Args)]
pub(super) struct Join {
    /// The data folder to make.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// A registry member; give several.
    #[arg(long = "registry", value_name = "HOST:PORT", required = true)]
    registries: Vec<String>,
    /// SHA-256 of the cluster's root certificate, as `holdfast-registry init` printed it.
    #[arg(long, value_name = "HEX")]
    root_hash: RootHash,
    /// Socket to listen on.
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    /// Where others reach it; the same as --listen without it.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Failure domain, such as a rack or a data centre: replicas of a group are spread over them.
    #[arg(long, value_name = "NAME", default_value = "")]
    zone: String,
    /// TCTI of the TPM.
    #[arg(long, value_name = "TCTI", default_value = "device:/dev/tpmrm0")]
    tpm: String,
    /// File with a one-time ticket.
    #[arg(long, value_name = "FILE")]
    ticket_file: Option<PathBuf>,
    /// Certificates between the TPM vendor's root and the EK, where the TPM does not hold them, PEM or DER.
    #[arg(long = "ek-chain", value_name = "FILE")]
    ek_chain: Vec<PathBuf>,
    /// Queue for an operator's approval and wait for it.
    #[arg(long)]
    wait: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Join {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ticket = self.ticket_file.as_deref().map(read_ticket).transpose()?;
        let ek_chain = read_certificates(&self.ek_chain)?;
        let tell = |id: PendingId| {
            say(&mut std::io::stderr(), &format!("waiting for an operator: holdfast node approve {id}"));
        };
        let options = Enrolment {
            data: &self.data,
            role: NodeRole::Node,
            tpm: &self.tpm,
            listen: &self.listen,
            advertise: self.advertise.as_deref().unwrap_or(&self.listen),
            registries: &self.registries,
            zone: &self.zone,
            root: self.root_hash,
            ticket: ticket.as_ref().map(OneTime::seed),
            ek_chain,
            wait: self.wait.then_some(&tell),
        };
        let (folder, machine, granted) = enrol(options).await?;
        let (node, cluster) = (granted.node, granted.genesis.cluster);
        match self.output {
            Output::Text => {
                print(&format!("joined cluster {cluster} as node {node}"));
                print(&format!("next: holdfast-node run --data {}", folder.path().display()));
            }
            Output::Json => {
                let joined = serde_json::json!({
                    "node": node.to_string(), "cluster": cluster.to_string(), "ek": machine.ek().to_string(),
                    "data": folder.path(), "address": folder.settings().advertise,
                });
                print(&joined.to_string());
            }
        }
        Ok(())
    }
}
