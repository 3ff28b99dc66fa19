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
        let scratch = tempdir()?;
        let machine = Machine::open(&self.tpm, scratch.clone(), Vec::new()).await;
        // Holds the blob of a TLS key that nobody will use.
        let _ = std::fs::remove_dir_all(&scratch);
        let machine = machine?;
        let certified = machine.keys().ek_certificate.is_some();
        match self.output {
            Output::Text => print(&machine.ek().to_string()),
            Output::Json => print(
                &serde_json::json!({ "ek": machine.ek().to_string(), "certified": certified }).to_string(),
            ),
        }
        Ok(())
    }
}

fn tempdir() -> anyhow::Result<std::path::PathBuf> {
    let name: [u8; 8] = holdfast_keys::random_array()?;
    Ok(std::env::temp_dir().join(format!("holdfast-ek-{}", hex::encode(name))))
}
