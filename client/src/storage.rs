//! Files that are no secrets: bounded reads, atomic writes. Secrets go through `keys::secret_file`.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use holdfast_keys::random_array;

/// Why a local file or folder could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
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
    /// Larger than its kind may be.
    #[error("{} is larger than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        max: u64,
    },
}

impl StorageError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// Whether the file is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a file of at most `max` bytes.
pub(crate) fn read(path: &Path, max: u64) -> Result<Vec<u8>, StorageError> {
    let file = File::open(path).map_err(StorageError::io("open", path))?;
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes).map_err(StorageError::io("read", path))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= max) {
        Ok(bytes)
    } else {
        Err(StorageError::TooLarge { path: path.to_owned(), max })
    }
}

/// Reads a file that need not exist.
pub(crate) fn read_optional(path: &Path, max: u64) -> Result<Option<Vec<u8>>, StorageError> {
    match read(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of mode 0600 beside the old one and puts it in its place, so that a reader sees one or the other.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let temporary = temporary_beside(path).map_err(StorageError::io("name a temporary file beside", path))?;
    let written = create_new(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|error| {
        // The first error is the one that matters.
        let _ = std::fs::remove_file(&temporary);
        StorageError::io("write", path)(error)
    })
}

/// Makes a folder and those above it, for its owner only.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), StorageError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StorageError::io("make folder", path))
}

/// A hidden name in the same folder, so that a rename cannot cross file systems.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "the path ends in no file name");
    let random = random_array::<8>().map_err(io::Error::other)?;
    let mut name = std::ffi::OsString::from(".holdfast-");
    name.push(hex::encode(random));
    name.push(".part");
    path.file_name().ok_or_else(no_name)?;
    Ok(path.with_file_name(name))
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert!(matches!(read(&path, 2), Err(StorageError::TooLarge { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_absent_file_is_none_and_another_failure_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_optional(&dir.path().join("none"), 9).unwrap().is_none());
        assert!(read_optional(dir.path(), 9).is_err());
    }
}
