//! `holdfast-node ek`.

use clap::Args;
use holdfast_enrol::machine::Machine;

use super::{Output, print};

#[derive(Args)]
pub(super) struct Ek {
    /// TCTI of the TPM.
    #[arg(long, value_name = "TCTI", default_value = "device:/dev/tpmrm0")]
    tpm: String,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

impl Ek {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let ek = Machine::peek(&self.tpm).await?;
        match self.output {
            Output::Text => print(&ek.to_string()),
            Output::Json => print(&serde_json::json!({ "ek": ek.to_string() }).to_string()),
        }
        Ok(())
    }
}
