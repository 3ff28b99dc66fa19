//! Small durable files.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use crate::durability::{SyncFailed, sync_folder};

/// Why a small file could not be replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sync(#[from] SyncFailed),
}

/// Replaces `path` by `bytes`: after a crash it holds either the old or the new content.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
    let tmp = path.with_extension("tmp");
    let mut file = File::create(&tmp)?;
    file.write_all(bytes)?;
    file.sync_all().map_err(|source| SyncFailed::new(&tmp, source))?;
    fs::rename(&tmp, path)?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok(())
}

/// Bytes of all files under a folder; files that vanish meanwhile count as nothing.
pub(crate) fn folder_size(path: &Path) -> io::Result<u64> {
    let mut total = 0u64;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let size = match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_size(&entry.path())?,
            Ok(meta) => allocated(&meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        total = total.saturating_add(size);
    }
    Ok(total)
}

/// What a file takes on disk, holes excluded.
fn allocated(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta).saturating_mul(512)
}
