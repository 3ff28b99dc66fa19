//! What both kinds of credential directories have in common: files that only their owner reads, and the cluster's trust.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use holdfast_certs::{CertChain, ChainShapeError, IdentityError};
use holdfast_domain::{ClusterId, RootHash, TrustDomain, codec};
use holdfast_keys::{
    secret_file::{SecretFileError, read_secret, write_secret},
    sign::PrivateKeyError,
};
use zeroize::Zeroizing;

use crate::{
    storage::{self, StorageError},
    trust::{Trust, TrustError},
};

pub(super) const GENESIS: &str = "genesis";
pub(super) const ROOT: &str = "root.der";
pub(super) const MAP: &str = "map";
pub(super) const VOTERS: &str = "voters";

/// Largest encoded certificate chain.
const MAX_CHAIN: usize = 32 * 1024;

/// Why a credential directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A file that is missing, or that others can reach.
    #[error("the credential in {}", dir.display())]
    Secret {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: SecretFileError,
    },
    /// The directory itself.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Readable by others.
    #[error("{} has mode {mode:04o} and others can reach it: run `chmod 700 {}`", dir.display(), dir.display())]
    Mode {
        /// The directory.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The description is wrong.
    #[error("{}: {problem}", file.display())]
    Description {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The private key is none.
    #[error("{} holds no usable private key", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: PrivateKeyError,
    },
    /// The chain is none.
    #[error("{} holds no certificate chain", .0.display())]
    Chain(PathBuf),
    /// The chain is not for this key.
    #[error("{} does not fit the private key beside it", file.display())]
    Identity {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: IdentityError,
    },
    /// The chain is for somebody else than the description says.
    #[error("{} is for {actual}, not for {expected}", file.display())]
    Subject {
        /// The file.
        file: PathBuf,
        /// Who the description says.
        expected: String,
        /// Who the chain says.
        actual: String,
    },
    /// Root or genesis record.
    #[error("the credential in {} is not of one cluster", dir.display())]
    Trust {
        /// The directory.
        dir: PathBuf,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// The context pins another cluster.
    #[error("{} belongs to the cluster with root {actual}, not {expected}", dir.display())]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// What the context pins.
        expected: RootHash,
        /// What the directory has.
        actual: RootHash,
    },
    /// A value has no encoded form.
    #[error("the credential cannot be written")]
    Unwritable,
    /// There is one already.
    #[error("{} already holds the credential of client {client}", dir.display())]
    Exists {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        client: String,
    },
}

/// A credential directory.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes it for its owner only; one that exists must be so already.
    pub(super) fn create(path: &Path) -> Result<Self, CredentialError> {
        storage::make_private_dir(path)?;
        Self::open(path)
    }

    pub(super) fn open(path: &Path) -> Result<Self, CredentialError> {
        let metadata = std::fs::metadata(path).map_err(StorageError::io("open", path))?;
        let mode = metadata.permissions().mode() & 0o7777;
        // A directory that others may write to lets them swap the files in it.
        if mode & 0o022 != 0 {
            return Err(CredentialError::Mode { dir: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        read_secret(&self.path(name)).map_err(|source| self.secret(source))
    }

    pub(super) fn read_optional(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, CredentialError> {
        match read_secret(&self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(self.secret(error)),
        }
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CredentialError> {
        write_secret(&self.path(name), bytes).map_err(|source| self.secret(source))
    }

    pub(super) fn read_chain(&self, name: &str) -> Result<CertChain, CredentialError> {
        let bytes = self.read(name)?;
        codec::decode(&bytes, MAX_CHAIN).map_err(|_| CredentialError::Chain(self.path(name)))
    }

    pub(super) fn write_chain(&self, name: &str, chain: &CertChain) -> Result<(), CredentialError> {
        self.write(name, &codec::encode(chain).map_err(|_| CredentialError::Unwritable)?)
    }

    /// Root and genesis record, checked against the description.
    pub(super) fn read_trust(
        &self,
        pin: RootHash,
        cluster: ClusterId,
        domain: &TrustDomain,
    ) -> Result<Trust, CredentialError> {
        let trust = Trust::from_stored(pin, &self.read(ROOT)?, &self.read(GENESIS)?)
            .map_err(|source| self.trust(source))?;
        if trust.cluster() != cluster || trust.trust_domain() != domain {
            return Err(self.trust(TrustError::BundleShape));
        }
        Ok(trust)
    }

    pub(super) fn write_trust(&self, trust: &Trust) -> Result<(), CredentialError> {
        self.write(ROOT, trust.root_der())?;
        self.write(GENESIS, &trust.encode_genesis().map_err(|source| self.trust(source))?)
    }

    /// Refuses a directory of another cluster than the one that is expected.
    pub(super) fn check_pin(&self, expected: RootHash, actual: RootHash) -> Result<(), CredentialError> {
        let other = || CredentialError::OtherCluster { dir: self.0.clone(), expected, actual };
        (expected == actual).then_some(()).ok_or_else(other)
    }

    pub(super) fn description(&self, name: &str, problem: String) -> CredentialError {
        CredentialError::Description { file: self.path(name), problem }
    }

    fn secret(&self, source: SecretFileError) -> CredentialError {
        CredentialError::Secret { dir: self.0.clone(), source }
    }

    fn trust(&self, source: TrustError) -> CredentialError {
        CredentialError::Trust { dir: self.0.clone(), source }
    }
}

/// A chain from a reply, and the chain without the root that may follow it.
pub(crate) fn chain_of(ders: &[impl AsRef<[u8]>]) -> Result<CertChain, ChainShapeError> {
    CertChain::from_ders(ders.iter().map(|der| der.as_ref().to_vec()).collect())
}
