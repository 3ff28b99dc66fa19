//! The data folder of a machine: bound to one cluster, one TPM and one role, and used by one process at a time.
//!
//! ```text
//! folder.toml            who this is and where it listens (no secrets)
//! tpm/                   blobs of TPM keys
//! sealed/NAME            keys that only this TPM opens, in an approved boot state
//! identity/              certificate chains, trust bundle, genesis record, PCR approvals, voters, map, the TPM's last checkpoint
//! raft/ state/ content/  consensus log and snapshots, records, chunks; each says in owner.toml whose it is
//! lock                   held while a process uses the folder
//! ```

mod durable;
mod owner;
mod settings;

use std::{
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use holdfast_domain::{
    ClusterId, NodeId, NodeRole, Sha256Hash,
    codec::{self, CodecError},
};
use holdfast_tpm_node::SealedBlob;
use serde::{Serialize, de::DeserializeOwned};

pub use settings::Settings;

/// Largest file of ours in `identity/` and `sealed/`, in bytes: the shard map is the largest.
const MAX_FILE: usize = 8 << 20;
/// Bytes of the checksum at the end of such a file.
const SUM: usize = 32;
const SETTINGS: &str = "folder.toml";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// There is no data folder yet.
    #[error("{} is no data folder: run `init` or `join` with --data {} first", .0.display(), .0.display())]
    Missing(PathBuf),
    /// There is one already.
    #[error(
        "{} already belongs to {} {} of cluster {}: give --data another folder, or remove this one if it is no longer needed",
        path.display(), settings.role, settings.node, settings.cluster
    )]
    Exists {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        settings: Box<Settings>,
    },
    /// Not empty and not ours.
    #[error("{} is not empty and no data folder of Holdfast: give --data an empty or new folder", .0.display())]
    Foreign(PathBuf),
    /// Made for the other program.
    #[error("{} belongs to a {actual}, not to a {expected}: start it with the other program, or give --data another folder", path.display())]
    Role {
        /// The folder.
        path: PathBuf,
        /// Role of this program.
        expected: NodeRole,
        /// Role in the folder.
        actual: NodeRole,
    },
    /// A part of the folder came from another one.
    #[error(
        "{} belongs to node {node} of cluster {cluster}, and this folder to node {} of cluster {}: put each back where it was",
        path.display(), settings.node, settings.cluster
    )]
    OtherOwner {
        /// The part.
        path: PathBuf,
        /// Its cluster.
        cluster: ClusterId,
        /// Its machine.
        node: NodeId,
        /// Whose the folder is.
        settings: Box<Settings>,
    },
    /// A part of the folder does not say whose it is.
    #[error("{} is missing or damaged: restore it from a backup, or remove the folder and join again", .0.display())]
    Unowned(PathBuf),
    /// Readable by others.
    #[error("{} has mode {mode:04o} and others can reach it: run `chmod 700 {}`", path.display(), path.display())]
    Mode {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process uses it.
    #[error("{} is in use by another process: stop that one first", .0.display())]
    InUse(PathBuf),
    /// `folder.toml` is wrong.
    #[error("{}: {}. Correct it, or restore the file from a backup", path.display(), reason.trim_end())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// A file of ours has other bytes than were written.
    #[error("{} is damaged: restore it from a backup, or remove the folder and join again", .0.display())]
    Altered(PathBuf),
    /// A file of ours is not what it should be.
    #[error("{} is damaged: restore it from a backup, or remove the folder and join again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
}

/// An open data folder. The lock is released when the last clone of its owner is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    settings: Settings,
    _lock: File,
}

impl Folder {
    /// Checks that a new folder could be made here, before anything is asked of a TPM or a registry.
    ///
    /// # Errors
    /// [`FolderError::Exists`], [`FolderError::Foreign`].
    pub fn check_new(path: &Path) -> Result<(), FolderError> {
        if path.join(SETTINGS).exists() {
            let settings = Box::new(settings::read(&path.join(SETTINGS))?);
            return Err(FolderError::Exists { path: path.to_owned(), settings });
        }
        match fs::read_dir(path) {
            Ok(entries) => {
                let foreign =
                    entries.flatten().any(|entry| entry.file_name() != "tpm" && entry.file_name() != "lock");
                if foreign { Err(FolderError::Foreign(path.to_owned())) } else { Ok(()) }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(FolderError::Io { action: "read", path: path.to_owned(), source }),
        }
    }

    /// Makes a folder, of which `folder.toml` is written last by [`Folder::seal_in`]: until then it can be made anew.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn create(path: &Path, settings: Settings) -> Result<Self, FolderError> {
        Self::check_new(path)?;
        for part in ["", "tpm", "sealed", "identity"].iter().chain(&owner::OWNED) {
            let part = path.join(part);
            DirBuilder::new().recursive(true).mode(0o700).create(&part).map_err(failed("make", &part))?;
        }
        // The folder itself may be there already: made by a person, or for the blobs of the TPM's keys.
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed("restrict", path))?;
        let lock = lock(path)?;
        for part in owner::OWNED {
            owner::claim(&path.join(part), &settings)?;
        }
        Ok(Self { path: path.to_owned(), settings, _lock: lock })
    }

    /// Writes `folder.toml`: from now on the folder is somebody's.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn seal_in(&self) -> Result<(), FolderError> {
        let path = self.path.join(SETTINGS);
        let text = self.settings.to_toml();
        durable::write(&path, text.as_bytes()).map_err(failed("write", &path))
    }

    /// Opens a folder for the program of this role.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(path: &Path, role: NodeRole) -> Result<Self, FolderError> {
        let file = path.join(SETTINGS);
        if !file.exists() {
            return Err(FolderError::Missing(path.to_owned()));
        }
        let mode = fs::metadata(path).map_err(failed("inspect", path))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(FolderError::Mode { path: path.to_owned(), mode });
        }
        let settings = settings::read(&file)?;
        if settings.role != role {
            return Err(FolderError::Role { path: path.to_owned(), expected: role, actual: settings.role });
        }
        let lock = lock(path)?;
        owner::check(path, &settings)?;
        Ok(Self { path: path.to_owned(), settings, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who it belongs to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The file that says who it belongs to.
    pub fn settings_file(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// A part of it, such as `raft`.
    pub fn part(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts a damaged part aside, in place of one that was put aside before, and makes an empty one that is this machine's. Returns where the
    /// damaged one is.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn renew_part(&self, name: &str) -> Result<PathBuf, FolderError> {
        let part = self.part(name);
        let (fresh, aside) = (part.with_extension("new"), part.with_extension("damaged"));
        for former in [&fresh, &aside] {
            match fs::remove_dir_all(former) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("remove", former)(error));
                }
                _ => {}
            }
        }
        DirBuilder::new().mode(0o700).create(&fresh).map_err(failed("make", &fresh))?;
        owner::claim(&fresh, &self.settings)?;
        // A crash between the two leaves no part, which the next start makes anew.
        fs::rename(&part, &aside).map_err(failed("rename", &part))?;
        fs::rename(&fresh, &part).map_err(failed("rename", &fresh))?;
        durable::sync_parent(&part).map_err(failed("sync", &part))?;
        Ok(aside)
    }

    /// Keeps a key that only this TPM opens.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn put_sealed(&self, name: &str, blob: &SealedBlob) -> Result<(), FolderError> {
        self.put(&format!("sealed/{name}"), blob)
    }

    /// Reads it back; `None` when there is none of this name.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn sealed(&self, name: &str) -> Result<Option<SealedBlob>, FolderError> {
        self.get(&format!("sealed/{name}"))
    }

    /// Removes a sealed key durably, so that a crash does not bring it back; nothing happens when there is none.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn remove_sealed(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join("sealed").join(name);
        match fs::remove_file(&path) {
            Ok(()) => durable::sync_parent(&path).map_err(failed("remove", &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &path)(error)),
        }
    }

    /// Writes a value durably to `name`, a path below the folder.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn put<T: Serialize>(&self, name: &str, value: &T) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let mut bytes =
            codec::encode(value).map_err(|source| FolderError::Damaged { path: path.clone(), source })?;
        // Against a disk that forgets, not against people: what must not be forged is signed or sealed.
        let sum = Sha256Hash::of(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        durable::write(&path, &bytes).map_err(failed("write", &path))
    }

    /// Reads a value; `None` when the file does not exist.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let summed = bytes.split_last_chunk::<SUM>();
                let whole = summed.filter(|(value, sum)| Sha256Hash::of(value).as_bytes() == *sum);
                let Some((value, _)) = whole else { return Err(FolderError::Altered(path)) };
                codec::decode(value, MAX_FILE)
                    .map(Some)
                    .map_err(|source| FolderError::Damaged { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FolderError::Io { action: "read", path, source }),
        }
    }
}

fn lock(path: &Path) -> Result<File, FolderError> {
    let file = path.join("lock");
    let lock = File::create(&file).map_err(failed("open", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(FolderError::Io { action: "lock", path: file, source }),
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FolderError + 'a {
    move |source| FolderError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
