//! One software TPM for each machine, and the measured boot that its firmware would do.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use holdfast_tpm_node::{
    Tpm,
    swtpm::{EkAuthority, SoftTpm},
};
use sha2::{Digest as _, Sha256};

use crate::{ports, process::Place, wait};

/// The registers that a boot chain is measured into here: secure boot policy and the kernel.
pub const MEASURED: [u8; 2] = [7, 11];

/// What is measured at a boot. Another one is another boot chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// The one that the operators approve.
    Good,
    /// A changed kernel.
    Changed,
}

impl Boot {
    /// What firmware would extend into a register.
    fn digest(self, pcr: u8) -> [u8; 32] {
        let kernel = match self {
            Self::Good => "kernel 1",
            Self::Changed => "kernel 2",
        };
        Sha256::digest(format!("boot of PCR {pcr}: {kernel}")).into()
    }

    /// The value of a register after that, as operators approve it.
    pub fn value(self, pcr: u8) -> [u8; 32] {
        Sha256::new().chain_update([0; 32]).chain_update(self.digest(pcr)).finalize().into()
    }

    /// Arguments of `holdfast pcr approve`.
    pub fn approval(self) -> [String; 2] {
        MEASURED.map(|pcr| format!("{pcr}={}", hex::encode(self.value(pcr))))
    }
}

/// A machine's TPM, which can lose power and boot again.
#[derive(Debug)]
pub struct Machine {
    ca: PathBuf,
    state: PathBuf,
    port: u16,
    place: Place,
    running: Option<SoftTpm>,
}

impl Machine {
    /// A new TPM in `state` with an EK certificate of the authority in `ca`, switched off.
    ///
    /// # Errors
    /// swtpm does not work.
    pub fn manufacture(ca: &Path, state: &Path) -> anyhow::Result<Self> {
        SoftTpm::manufacture(ca, state).context("making a software TPM")?;
        Self::at(ca, state, ports::pair()?)
    }

    /// One that was made earlier, switched off.
    ///
    /// # Errors
    /// Never at present.
    pub fn at(ca: &Path, state: &Path, port: u16) -> anyhow::Result<Self> {
        let (ca, state) = (ca.to_owned(), state.to_owned());
        Ok(Self { ca, state, port, place: Place::Here, running: None })
    }

    /// The same machine elsewhere.
    #[must_use]
    pub fn moved_to(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// What the TPM keeps while it is off.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where the machine is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Switches it on and plays a boot.
    ///
    /// # Errors
    /// swtpm does not start or does not answer.
    pub fn boot(&mut self, boot: Boot) -> anyhow::Result<()> {
        self.power_off();
        // A predecessor's port may take a moment to be free.
        let start = || Ok(Some(self.place.run(|| SoftTpm::start_at(&self.state, self.port))??));
        let running = wait::until(Duration::from_secs(10), "starting a software TPM", start)?;
        self.running = Some(running);
        let tcti = self.tcti();
        self.place.run(|| measure(&tcti, boot))?
    }

    /// Pulls the plug.
    pub fn power_off(&mut self) {
        self.running = None;
    }

    /// Where programs find it.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The first of its two ports.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The root certificate of its maker, as a file.
    ///
    /// # Errors
    /// The authority's folder cannot be used.
    pub fn ek_root(&self) -> anyhow::Result<PathBuf> {
        Ok(EkAuthority::open(&self.ca)?.root_path())
    }

    /// The intermediate certificate between that root and its EK certificate, as a DER file.
    ///
    /// # Errors
    /// The authority's folder cannot be used.
    pub fn ek_intermediate(&self) -> anyhow::Result<PathBuf> {
        let file = self.ca.join("intermediate.der");
        if !file.exists() {
            std::fs::write(&file, EkAuthority::open(&self.ca)?.intermediate_der()?)?;
        }
        Ok(file)
    }
}

fn measure(tcti: &str, boot: Boot) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("a runtime")?;
    let tpm = Tpm::open(tcti).context("opening a software TPM")?;
    for pcr in MEASURED {
        runtime.block_on(tpm.extend_pcr(pcr, boot.digest(pcr))).context("extending a PCR")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use holdfast_domain::PcrSelection;

    use super::*;

    #[test]
    fn the_registers_hold_after_a_boot_what_operators_are_told_to_approve() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::manufacture(&dir.path().join("ca"), &dir.path().join("tpm")).unwrap();
        for boot in [Boot::Good, Boot::Changed, Boot::Good] {
            machine.boot(boot).unwrap();
            let tpm = Tpm::open(&machine.tcti()).unwrap();
            let selection = PcrSelection::try_from(MEASURED.to_vec()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let values = runtime.block_on(tpm.pcr_values(&selection)).unwrap();
            assert!(values.iter().all(|value| value.digest == boot.value(value.index)));
        }
    }
}
