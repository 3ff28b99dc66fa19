//! The observer's way to every key: the officers' shares open the recovery key, that opens the keys in an export of the
//! registry's state, and those open the keyrings in copies of the nodes' stores. What comes out is what must be found nowhere.

mod registry;
mod stores;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use holdfast_keys::{RecoverySecret, Share};

pub use registry::{GroupKey, RegistryKeys, registry_keys};
pub use stores::{StoreKeys, store_keys};

/// Puts the recovery key together from share files.
///
/// # Errors
/// They are too few or do not fit.
pub fn recovery_key(files: &[PathBuf]) -> anyhow::Result<RecoverySecret> {
    let shares = files.iter().map(|file| share(file)).collect::<anyhow::Result<Vec<_>>>()?;
    RecoverySecret::combine(&shares).context("combining the officers' shares")
}

fn share(file: &Path) -> anyhow::Result<Share> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    text.trim().parse().with_context(|| format!("the share in {}", file.display()))
}
