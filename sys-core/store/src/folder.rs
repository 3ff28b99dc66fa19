//! One data folder, one node, one process.
//!
//! The folder names the cluster and the node it was made for and is refused to every other, so that a disk put into
//! the wrong machine, or a wrong path in a config file, is found before anything is read or written.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use holdfast_domain::{ClusterId, NodeId, codec};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    durability::{CarriesSyncFailure, SyncFailed, sync_folder},
    files::{ReplaceError, replace},
};

const IDENTITY_FILE: &str = "identity";
const LOCK_FILE: &str = "lock";
const MAX_IDENTITY_BYTES: usize = 256;

/// Who a data folder belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderIdentity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The machine.
    pub node: NodeId,
}

/// A data folder, locked for as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Made for another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}: use that cluster's folder or an empty one", path.display())]
    OtherCluster {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// Made for another machine of the same cluster.
    #[error("{} belongs to node {found}, this is node {expected}: a node cannot take over another's disk", path.display())]
    OtherNode {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Whose it should be.
        expected: NodeId,
    },
    /// Data without an identity: not made by this program, or the identity was removed.
    #[error("{} is not empty and does not say which node it belongs to", path.display())]
    Unidentified {
        /// The folder.
        path: PathBuf,
    },
    /// The identity cannot be read.
    #[error("the identity of {} is damaged", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: codec::CodecError,
    },
    /// Another process has it.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// Fatal: see [`crate::abort_on_failed_sync`].
    #[error("the identity of the folder could not be made durable")]
    Sync(#[from] SyncFailed),
    /// The operating system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// On which path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl CarriesSyncFailure for FolderError {
    fn sync_failure(&self) -> Option<&SyncFailed> {
        match self {
            Self::Sync(failed) => Some(failed),
            _ => None,
        }
    }
}

impl DataFolder {
    /// Locks the folder and checks that it is this node's; an empty or missing one becomes so.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(path: &Path, identity: FolderIdentity) -> Result<Self, FolderError> {
        let io_error = |source| FolderError::Io { path: path.to_path_buf(), source };
        fs::create_dir_all(path).map_err(io_error)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(io_error)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(FolderError::InUse { path: path.to_path_buf() }),
            Err(errno) => return Err(io_error(errno.into())),
        }
        match fs::read(path.join(IDENTITY_FILE)) {
            Ok(bytes) => check(path, &bytes, identity)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => claim(path, identity)?,
            Err(error) => return Err(io_error(error)),
        }
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A folder inside for one purpose, such as `state` or `segments`; whoever uses it creates it.
    pub fn subfolder(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn check(path: &Path, bytes: &[u8], expected: FolderIdentity) -> Result<(), FolderError> {
    let found: FolderIdentity = codec::decode(bytes, MAX_IDENTITY_BYTES)
        .map_err(|source| FolderError::Damaged { path: path.to_path_buf(), source })?;
    let FolderIdentity { cluster, node } = found;
    if cluster != expected.cluster {
        return Err(FolderError::OtherCluster {
            path: path.to_path_buf(),
            found: cluster,
            expected: expected.cluster,
        });
    }
    if node != expected.node {
        return Err(FolderError::OtherNode {
            path: path.to_path_buf(),
            found: node,
            expected: expected.node,
        });
    }
    Ok(())
}

/// Writes the identity into a folder that holds nothing yet.
fn claim(path: &Path, identity: FolderIdentity) -> Result<(), FolderError> {
    let io_error = |source| FolderError::Io { path: path.to_path_buf(), source };
    for entry in fs::read_dir(path).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        // `lost+found` is there on a fresh file system; a crash may leave the identity's temporary file.
        if ![LOCK_FILE, "lost+found", "identity.tmp"].iter().any(|known| name == *known) {
            return Err(FolderError::Unidentified { path: path.to_path_buf() });
        }
    }
    let bytes = codec::encode(&identity)
        .map_err(|source| FolderError::Damaged { path: path.to_path_buf(), source })?;
    replace(&path.join(IDENTITY_FILE), &bytes).map_err(|error| match error {
        ReplaceError::Io(source) => io_error(source),
        ReplaceError::Sync(failed) => failed.into(),
    })?;
    if let Some(parent) = path.parent() {
        sync_folder(parent)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: FolderIdentity =
        FolderIdentity { cluster: ClusterId::new([1; 16]), node: NodeId::new([2; 16]) };

    #[test]
    fn a_folder_opens_again_for_its_own_node_and_for_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(dir.path(), OURS).unwrap();
        fs::create_dir(folder.subfolder("state")).unwrap();
        assert!(matches!(DataFolder::open(dir.path(), OURS), Err(FolderError::InUse { .. })));
        drop(folder);
        DataFolder::open(dir.path(), OURS).unwrap();
    }

    #[test]
    fn a_folder_of_another_cluster_or_node_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        DataFolder::open(dir.path(), OURS).unwrap();
        let cluster = ClusterId::new([9; 16]);
        let error = DataFolder::open(dir.path(), FolderIdentity { cluster, ..OURS }).unwrap_err();
        assert!(matches!(error, FolderError::OtherCluster { found, .. } if found == OURS.cluster));
        assert!(error.to_string().contains(&OURS.cluster.to_string()));
        let node = NodeId::new([9; 16]);
        let error = DataFolder::open(dir.path(), FolderIdentity { node, ..OURS }).unwrap_err();
        assert!(matches!(error, FolderError::OtherNode { .. }));
    }

    #[test]
    fn data_without_an_identity_and_a_damaged_identity_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), b"data").unwrap();
        assert!(matches!(DataFolder::open(dir.path(), OURS), Err(FolderError::Unidentified { .. })));
        fs::write(dir.path().join(IDENTITY_FILE), b"\x01short").unwrap();
        assert!(matches!(DataFolder::open(dir.path(), OURS), Err(FolderError::Damaged { .. })));
    }
}
