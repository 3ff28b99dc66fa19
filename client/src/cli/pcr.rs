//! `holdfast pcr`: which boot states may open keys.

use clap::Subcommand;
use holdfast_domain::{NodeRole, PcrValue, PolicyEpoch};

use super::{
    app::{App, SignArgs},
    failure::Failure,
    units::parse_pcr,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Approve PCR values, so that machines in this boot state can open their keys
    ///
    /// Signed twice: by the PCR policy key, as every TPM checks it, and by you. Read the values on a machine in the state that you
    /// trust, for instance with `tpm2_pcrread sha256:7,11`. An approval is revoked only by a higher policy epoch, under which the
    /// good states are approved again.
    #[command(after_help = "Example:\n  holdfast pcr approve --role node 7=65ca.. 11=8f0e..")]
    Approve {
        /// `node` or `registry`
        #[arg(long)]
        role: NodeRole,
        /// A value for each PCR that the cluster binds keys to, ascending
        #[arg(required = true, value_name = "PCR=HEX", value_parser = parse_pcr)]
        values: Vec<PcrValue>,
        /// Policy epoch [default: the cluster's current one]; a higher one voids all earlier approvals
        #[arg(long, value_name = "N")]
        policy_epoch: Option<PolicyEpoch>,
        #[command(flatten)]
        sign: SignArgs,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<(), Failure> {
    let Command::Approve { role, values, policy_epoch, sign } = command;
    let operator = app.operator().await?;
    let selection = operator.pcr_selection().indices();
    if !values.iter().map(|value| &value.index).eq(selection) {
        return Err(Failure::Usage(format!(
            "this cluster binds keys to PCRs {selection:?}: give a value for each, in this order"
        )));
    }
    let epoch = match policy_epoch {
        Some(epoch) => epoch,
        None => operator.status().await?.policy_epoch,
    };
    let request = operator.approve_pcrs(role, epoch, values)?;
    app.submit(&operator, operator.sign(request).await?, &sign).await
}
