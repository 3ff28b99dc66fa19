//! Secrets in files: mode 0600, replaced atomically, refused when anyone else could read them.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::entropy::{EntropyError, random_array};

/// Largest secret file that is read or written.
pub const MAX_SECRET_FILE: usize = 64 << 10;

/// Why a secret file was not written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// The file system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read or change the file.
    #[error("{} has mode {mode:04o} and others can reach it: run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to another user, who could put another secret there.
    #[error("{} belongs to user {owner}, neither to this process's user nor to root", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Not a regular file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Larger than [`MAX_SECRET_FILE`].
    #[error("{} is larger than {MAX_SECRET_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
    /// No name for the temporary file.
    #[error("no temporary name")]
    Entropy(#[from] EntropyError),
}

impl SecretFileError {
    /// Whether the file is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Writes a secret, replacing what was there. When this returns, the new content survives a power loss; when it fails, the old
/// content is untouched.
///
/// # Errors
/// See [`SecretFileError`].
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    if bytes.len() > MAX_SECRET_FILE {
        return Err(SecretFileError::TooLarge(path.to_owned()));
    }
    let temporary = temporary_beside(path)?;
    let written = write_new(&temporary, bytes)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(failed("replace", path)));
    if let Err(error) = written {
        // The error that matters is the first one; a leftover has mode 0600 and a name of its own.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync the folder of", path))
}

/// Reads a secret, if only its owner can: this process's user or root.
///
/// # Errors
/// See [`SecretFileError`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    // Not blocking, so that a FIFO in place of the file is refused below instead of hanging here.
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file =
        OpenOptions::new().read(true).custom_flags(nonblock).open(path).map_err(failed("open", path))?;
    // Checked on the open file: what is read is what was checked.
    let metadata = file.metadata().map_err(failed("inspect", path))?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile(path.to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Mode { path: path.to_owned(), mode });
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(SecretFileError::Owner { path: path.to_owned(), owner });
    }
    read_bounded(file, path)
}

fn read_bounded(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let limit = MAX_SECRET_FILE.saturating_add(1);
    // Reserved in full, so that growing leaves no copy of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.saturating_add(32)));
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() > MAX_SECRET_FILE { Err(SecretFileError::TooLarge(path.to_owned())) } else { Ok(bytes) }
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), SecretFileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

fn temporary_beside(path: &Path) -> Result<PathBuf, SecretFileError> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or_else(|| SecretFileError::NotAFile(path.to_owned()))?);
    name.push(format!(".{}.tmp", hex::encode(random_array::<8>()?)));
    Ok(folder_of(path).join(name))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SecretFileError {
    move |source| SecretFileError::Io { action, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_reads_back_and_only_its_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, b"one").unwrap();
        write_secret(&path, b"two").unwrap();
        assert_eq!(*read_secret(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays behind");
    }

    #[test]
    fn a_file_that_others_can_reach_is_refused_and_the_error_names_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o610] {
            set_mode(&path, mode);
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, SecretFileError::Mode { mode: found, .. } if found == mode));
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())));
        }
        set_mode(&path, 0o400);
        assert!(read_secret(&path).is_ok());
    }

    #[test]
    fn rewriting_mends_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_secret(&path, b"secret").unwrap();
        set_mode(&path, 0o644);
        write_secret(&path, b"secret").unwrap();
        assert!(read_secret(&path).is_ok());
    }

    #[test]
    fn what_is_too_large_or_absent_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read_secret(&path).is_err_and(|error| error.is_not_found()));
        assert!(matches!(
            write_secret(&path, &vec![0; MAX_SECRET_FILE + 1]),
            Err(SecretFileError::TooLarge(_))
        ));
        write_secret(&path, &vec![0; MAX_SECRET_FILE]).unwrap();
        assert!(read_secret(&path).is_ok());
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert!(matches!(read_secret(&path), Err(SecretFileError::TooLarge(_))));
        assert!(matches!(read_secret(folder.path()), Err(SecretFileError::NotAFile(_))));
    }

    #[test]
    fn a_failed_write_keeps_the_old_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(write_secret(&path, b"secret").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
