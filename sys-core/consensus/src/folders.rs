//! Folders that are there after a power loss: a folder's name is durable once its parent is synced.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

/// Makes a folder that only this user enters.
pub(crate) fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    sync_parents(dir, 1)
}

/// Makes a folder and up to `levels` of its parents.
pub(crate) fn make(dir: &Path, levels: usize) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    sync_parents(dir, levels)
}

/// Syncs a folder's entries.
pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    // The parent of a relative name is the empty path.
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

fn sync_parents(dir: &Path, levels: usize) -> io::Result<()> {
    dir.ancestors().skip(1).take(levels).try_for_each(sync)
}
