//! Manufacturing a software TPM: seeds, endorsement keys and their certificates.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{EkAuthority, SoftTpmError};

/// Characters of `swtpm_setup`'s output that an error carries.
const MAX_OUTPUT: usize = 2000;

pub(super) fn has_state(state_dir: &Path) -> bool {
    state_dir.join("tpm2-00.permall").exists()
}

pub(super) fn manufacture(authority: &EkAuthority, state_dir: &Path) -> Result<(), SoftTpmError> {
    let lock = authority.lock()?;
    // Later TPMs need no lock: the tool has its own for the serial number.
    let _lock = (!authority.is_made()).then_some(lock);
    let output = Command::new("swtpm_setup")
        .args(["--tpm2", "--create-ek-cert", "--lock-nvram", "--overwrite", "--tpmstate"])
        .arg(state_dir)
        .arg("--config")
        .arg(authority.config_path())
        .stdin(Stdio::null())
        .output()
        .map_err(|source| SoftTpmError::Program { program: "swtpm_setup", source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let skip = said.chars().count().saturating_sub(MAX_OUTPUT);
    Err(SoftTpmError::Setup { output: said.chars().skip(skip).collect() })
}
