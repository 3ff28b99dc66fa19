//! The officers' shares: one file each, to be given away and kept apart.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use holdfast_keys::{RecoverySecret, secret_file::write_secret};
use zeroize::Zeroizing;

use super::{InitError, InitOptions};

const STEP: &str = "the officers' shares";

/// Refuses a directory that already holds something.
pub(super) fn check_new(path: &Path) -> Result<(), InitError> {
    check_empty(path, STEP)
}

pub(super) fn check_empty(path: &Path, step: &'static str) -> Result<(), InitError> {
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let text = format!("{} is not empty: give another directory, or remove it", path.display());
            Err(InitError::at(step)(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(InitError::at(step)(error)),
    }
}

/// Makes a directory that others cannot enter.
pub(super) fn make_private(path: &Path, step: &'static str) -> Result<(), InitError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(InitError::at(step))
}

pub(super) fn write(options: &InitOptions<'_>, recovery: &RecoverySecret) -> Result<Vec<PathBuf>, InitError> {
    make_private(options.shares, STEP)?;
    let shares = recovery.split(options.share_threshold, options.share_count).map_err(InitError::at(STEP))?;
    let one = |share: &holdfast_keys::Share| {
        let path = options.shares.join(format!("share-{}", share.index()));
        let mut text = Zeroizing::new(share.expose_text().to_string());
        text.push('\n');
        write_secret(&path, text.as_bytes()).map_err(InitError::at(STEP))?;
        Ok(path)
    };
    shares.iter().map(one).collect()
}
