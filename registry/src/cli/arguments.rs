//! Arguments, as parsed values.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use holdfast_domain::{OperatorName, PcrSelection, RootHash, TrustDomain};

use super::output::Output;

/// The registry of a Holdfast cluster: its root of trust.
#[derive(Debug, Parser)]
#[command(name = "holdfast-registry", version)]
pub(super) struct Arguments {
    /// How results are printed.
    #[arg(short = 'o', long, global = true, value_enum, default_value_t = Output::Human)]
    pub(super) output: Output,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a cluster: root, keys, first operator, and this machine as its first voter.
    Init(InitArguments),
    /// Makes this machine a member of an existing registry.
    Join(JoinArguments),
    /// Serves.
    Run {
        /// Data folder.
        #[arg(long)]
        data: PathBuf,
        /// Configuration file.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Prints the EK of a TPM, as operators admit it.
    Ek {
        /// TCTI of the TPM.
        #[arg(long, default_value = DEFAULT_TPM)]
        tpm: String,
    },
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

const DEFAULT_TPM: &str = "device:/dev/tpmrm0";

/// The machine and where it is reached.
#[derive(Debug, Args)]
pub(super) struct MachineArguments {
    /// Data folder, to be made.
    #[arg(long)]
    pub(super) data: PathBuf,
    /// Socket to listen on, HOST:PORT.
    #[arg(long)]
    pub(super) listen: String,
    /// Where others reach this machine, HOST:PORT; the socket unless given.
    #[arg(long)]
    advertise: Option<String>,
    /// TCTI of the TPM, such as device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321.
    #[arg(long, default_value = DEFAULT_TPM)]
    pub(super) tpm: String,
    /// Intermediate certificates of the EK that the TPM does not hold, PEM or DER; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub(super) ek_chain: Vec<PathBuf>,
}

impl MachineArguments {
    pub(super) fn advertise(&self) -> String {
        self.advertise.clone().unwrap_or_else(|| self.listen.clone())
    }
}

#[derive(Debug, Args)]
pub(super) struct InitArguments {
    #[command(flatten)]
    pub(super) machine: MachineArguments,
    /// Trust domain of all identities.
    #[arg(long, default_value = "holdfast.local")]
    pub(super) trust_domain: TrustDomain,
    /// Name of the first operator.
    #[arg(long, default_value = "admin")]
    pub(super) operator: OperatorName,
    /// Directory for the operator's credential, to be made.
    #[arg(long, value_name = "DIR")]
    pub(super) credential: PathBuf,
    /// Directory for the officers' recovery shares, to be made.
    #[arg(long, value_name = "DIR")]
    pub(super) shares: PathBuf,
    /// Recovery shares to make.
    #[arg(long, default_value_t = 5)]
    pub(super) share_count: u8,
    /// Shares that open the recovery key.
    #[arg(long, default_value_t = 3)]
    pub(super) share_threshold: u8,
    /// PCRs that every machine's proof covers.
    #[arg(long, default_value = "7,11", value_name = "N,N")]
    pub(super) pcrs: Pcrs,
    /// Root certificate of EKs to trust, PEM or DER; may be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    pub(super) ek_root: Vec<PathBuf>,
    /// Admit software TPMs too, for ever: for demonstrations and tests only.
    #[arg(long)]
    pub(super) admit_virtual_tpms: bool,
}

#[derive(Debug, Args)]
pub(super) struct JoinArguments {
    #[command(flatten)]
    pub(super) machine: MachineArguments,
    /// A member of the registry, HOST:PORT; may be repeated.
    #[arg(long, required = true)]
    pub(super) registry: Vec<String>,
    /// Hash of the cluster's root certificate, as `init` printed it.
    #[arg(long)]
    pub(super) root_hash: RootHash,
    /// File with a one-time ticket.
    #[arg(long, value_name = "FILE")]
    pub(super) ticket_file: Option<PathBuf>,
    /// Wait for an operator's approval.
    #[arg(long)]
    pub(super) wait: bool,
}

/// PCR indices as people write them.
#[derive(Debug, Clone)]
pub(super) struct Pcrs(pub(super) PcrSelection);

impl FromStr for Pcrs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let indices =
            text.split(',').map(|part| part.trim().parse::<u8>().map_err(|error| error.to_string()));
        let indices = indices.collect::<Result<Vec<_>, _>>()?;
        PcrSelection::try_from(indices).map(Self).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn pcrs_are_ascending_numbers() {
        assert!("7,11".parse::<Pcrs>().is_ok());
        for text in ["", "11,7", "7,7", "24", "x"] {
            assert!(text.parse::<Pcrs>().is_err(), "{text}");
        }
    }
}
