//! The certificate authority of software TPMs: a directory that `swtpm_localca` fills on first use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{SoftTpmError, absolute_dir};

/// Signs the EK certificates of software TPMs.
#[derive(Clone, Debug)]
pub struct EkAuthority {
    dir: PathBuf,
}

impl EkAuthority {
    /// Uses the authority in `dir`. Its keys are made with the first TPM.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(dir: &Path) -> Result<Self, SoftTpmError> {
        let dir = absolute_dir(dir)?;
        let authority = Self { dir };
        authority.write_config()?;
        Ok(authority)
    }

    /// The root that EK certificates chain to, DER. Known once the first TPM was made.
    ///
    /// # Errors
    /// No TPM was made yet.
    pub fn root_der(&self) -> Result<Vec<u8>, SoftTpmError> {
        certificate(&self.root_path())
    }

    /// The root as a PEM file.
    #[must_use]
    pub fn root_path(&self) -> PathBuf {
        self.dir.join("swtpm-localca-rootca-cert.pem")
    }

    /// The intermediate that signs EK certificates, DER: software TPMs do not keep it in NV, so the node shows it
    /// (`ProvisionOptions::extra_chain`).
    ///
    /// # Errors
    /// No TPM was made yet.
    pub fn intermediate_der(&self) -> Result<Vec<u8>, SoftTpmError> {
        certificate(&self.dir.join("issuercert.pem"))
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.dir.join("setup.conf")
    }

    /// Held while the authority is being set up: two first TPMs at once would make two roots.
    pub(super) fn lock(&self) -> Result<File, SoftTpmError> {
        let path = self.dir.join("lock");
        let unusable = |source| SoftTpmError::File { path: path.clone(), source };
        let file = File::create(&path).map_err(unusable)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| unusable(error.into()))?;
        Ok(file)
    }

    pub(super) fn is_made(&self) -> bool {
        self.root_path().exists() && self.dir.join("issuercert.pem").exists()
    }

    /// Own configuration files, so that nothing touches the system's folders.
    fn write_config(&self) -> Result<(), SoftTpmError> {
        let _lock = self.lock()?;
        let dir = self.dir.display();
        let files = [
            (
                "localca.conf",
                format!(
                    "statedir = {dir}\nsigningkey = {dir}/signkey.pem\nissuercert = {dir}/issuercert.pem\n\
                     certserial = {dir}/certserial\n"
                ),
            ),
            (
                "localca.options",
                "--platform-manufacturer Holdfast\n--platform-version 1.0\n--platform-model Virtual\n"
                    .to_owned(),
            ),
            (
                "setup.conf",
                format!(
                    "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {dir}/localca.conf\n\
                     create_certs_tool_options = {dir}/localca.options\nactive_pcr_banks = sha256\n"
                ),
            ),
        ];
        for (name, content) in files {
            let path = self.dir.join(name);
            if fs::read_to_string(&path).is_ok_and(|present| present == content) {
                continue;
            }
            // Renamed into place: `swtpm_setup` of another process may be reading the same file.
            let draft = self.dir.join(format!("{name}.new"));
            fs::write(&draft, content)
                .and_then(|()| fs::rename(&draft, &path))
                .map_err(|source| SoftTpmError::File { path, source })?;
        }
        Ok(())
    }
}

fn certificate(path: &Path) -> Result<Vec<u8>, SoftTpmError> {
    let pem = fs::read(path).map_err(|source| SoftTpmError::File { path: path.to_owned(), source })?;
    let der = CertificateDer::from_pem_slice(&pem)
        .map_err(|_| SoftTpmError::NotACertificate { path: path.to_owned() })?;
    Ok(der.to_vec())
}
