//! What can go wrong with a TPM, told apart by what a caller can do about it.

use std::path::PathBuf;

/// Failure of an operation on the TPM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TpmError {
    /// The queue of the TPM is full: shed the request or retry later.
    #[error("the TPM is busy: {limit} requests are waiting")]
    Busy {
        /// Length of the queue that is full.
        limit: usize,
    },
    /// The thread that owns the TPM ended, or dropped the request.
    #[error("the TPM thread has stopped")]
    Stopped,
    /// The address of the TPM cannot be understood.
    #[error("not a TPM address: {tcti}")]
    Address {
        /// What was configured.
        tcti: String,
    },
    /// Nothing answers behind the TPM's address. The next request tries again.
    #[error("the TPM does not answer during {operation}")]
    Unreachable {
        /// What was asked.
        operation: &'static str,
        /// The library's answer.
        #[source]
        source: TssError,
    },
    /// The TPM works and said no: wrong key, wrong PCR values, wrong approval, foreign credential.
    #[error("the TPM refused {operation}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The response code.
        #[source]
        source: TssError,
    },
    /// A job panicked. The context was thrown away, the thread goes on.
    #[error("internal fault during {operation}")]
    Fault {
        /// What was asked.
        operation: &'static str,
    },
    /// A persistent handle that is ours by convention holds another object.
    #[error("persistent handle {handle:#010x} holds an object that is not ours")]
    Occupied {
        /// The persistent handle.
        handle: u32,
    },
    /// The keys of this TPM are not set up yet: provision first.
    #[error("the TPM is not provisioned")]
    NotProvisioned,
    /// The TPM, or a file beside it, gave something of an unexpected form.
    #[error("unexpected {what}")]
    Malformed {
        /// What was expected.
        what: &'static str,
    },
    /// Verifying or wrapping code refused what the TPM gave.
    #[error("{what} was refused")]
    Rejected {
        /// What was looked at.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A key blob belongs to another TPM.
    #[error("{path} belongs to another TPM; remove it to make a new key here")]
    ForeignBlob {
        /// The blob's file.
        path: PathBuf,
    },
    /// A file of the keys directory could not be read or written.
    #[error("cannot access {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Answer of the TPM library, kept opaque so that the library stays inside this crate.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TssError(#[from] tss_esapi::Error);

/// What a job may fail with; `Device::perform` turns it into a [`TpmError`] with the operation's name.
#[derive(Debug)]
pub(crate) enum JobError {
    /// The library or the TPM said no.
    Tss(tss_esapi::Error),
    /// Already told apart.
    Known(TpmError),
}

impl From<tss_esapi::Error> for JobError {
    fn from(error: tss_esapi::Error) -> Self {
        Self::Tss(error)
    }
}

impl From<TpmError> for JobError {
    fn from(error: TpmError) -> Self {
        Self::Known(error)
    }
}

impl JobError {
    pub(crate) fn malformed(what: &'static str) -> Self {
        Self::Known(TpmError::Malformed { what })
    }
}
