//! Software TPMs for tests, demonstrations and developers' machines.
//!
//! A [`SoftTpm`] proves the code path only: whoever owns its state directory owns it. Clusters admit such TPMs only when
//! their genesis record says so. All software TPMs of one cluster share one certificate authority ([`EkAuthority`]), so
//! that one EK root has to be configured.
//!
//! A software TPM ends when the process that started it ends, also after SIGKILL. Everything here blocks, for about a
//! second when a TPM is made.

mod authority;
mod process;
mod setup;

use std::path::{Path, PathBuf};

pub use self::authority::EkAuthority;
use self::process::Process;

/// A software TPM could not be made or started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SoftTpmError {
    /// A file or directory could not be used.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be run at all.
    #[error("cannot run {program}; install swtpm and swtpm-tools")]
    Program {
        /// Which.
        program: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `swtpm_setup` failed.
    #[error("swtpm_setup failed: {output}")]
    Setup {
        /// The last of what it said.
        output: String,
    },
    /// `swtpm` ended, or did not listen in time.
    #[error("swtpm did not start, see {log}")]
    Start {
        /// Its log.
        log: PathBuf,
    },
    /// What the authority's files hold is no certificate.
    #[error("{path} holds no certificate")]
    NotACertificate {
        /// Which file.
        path: PathBuf,
    },
}

/// A running software TPM. Stopped when dropped.
#[derive(Debug)]
pub struct SoftTpm {
    state_dir: PathBuf,
    process: Option<Process>,
    port: u16,
}

impl SoftTpm {
    /// Makes a new TPM in `state_dir`, with EK certificates from the authority in `ca_dir` (made if missing), and
    /// starts it. An earlier TPM in that directory is gone after this.
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn fresh(ca_dir: &Path, state_dir: &Path) -> Result<Self, SoftTpmError> {
        let authority = EkAuthority::open(ca_dir)?;
        let state_dir = absolute_dir(state_dir)?;
        setup::manufacture(&authority, &state_dir)?;
        Self::boot(state_dir)
    }

    /// Starts the TPM whose state is in `state_dir`, as after a reboot: PCRs are reset, keys are kept.
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn start(state_dir: &Path) -> Result<Self, SoftTpmError> {
        Self::boot(absolute_dir(state_dir)?)
    }

    /// [`SoftTpm::start`] at a given port; swtpm's control channel takes the next one.
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn start_at(state_dir: &Path, port: u16) -> Result<Self, SoftTpmError> {
        let state_dir = absolute_dir(state_dir)?;
        let process = Process::start_at(&state_dir, port)?;
        Ok(Self { state_dir, process: Some(process), port })
    }

    /// Makes a new TPM in `state_dir` like [`SoftTpm::fresh`], without starting it.
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn manufacture(ca_dir: &Path, state_dir: &Path) -> Result<(), SoftTpmError> {
        setup::manufacture(&EkAuthority::open(ca_dir)?, &absolute_dir(state_dir)?)
    }

    /// [`SoftTpm::start`] if there is a TPM in `state_dir`, else [`SoftTpm::fresh`].
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn start_or_fresh(ca_dir: &Path, state_dir: &Path) -> Result<Self, SoftTpmError> {
        if setup::has_state(state_dir) { Self::start(state_dir) } else { Self::fresh(ca_dir, state_dir) }
    }

    /// Address for [`crate::Tpm::open`]. Stays the same over [`SoftTpm::restart`].
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// Where its state lies.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Pulls the plug.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Stops it if it runs and starts it again at the same address, as a reboot does: PCRs are reset, keys are kept.
    ///
    /// # Errors
    /// See [`SoftTpmError`].
    pub fn restart(&mut self) -> Result<(), SoftTpmError> {
        self.stop();
        self.process = Some(Process::start_at(&self.state_dir, self.port)?);
        Ok(())
    }

    fn boot(state_dir: PathBuf) -> Result<Self, SoftTpmError> {
        let (process, port) = Process::start(&state_dir)?;
        Ok(Self { state_dir, process: Some(process), port })
    }
}

/// swtpm answers every command with an error when its state directory is relative.
fn absolute_dir(dir: &Path) -> Result<PathBuf, SoftTpmError> {
    let unusable = |source| SoftTpmError::File { path: dir.to_owned(), source };
    std::fs::create_dir_all(dir).map_err(unusable)?;
    dir.canonicalize().map_err(unusable)
}

#[cfg(test)]
mod tests;
