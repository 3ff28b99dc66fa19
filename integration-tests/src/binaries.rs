//! Where the programs under test are: beside this one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The three programs of a cluster.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds them in the folder of the running program, or of the test harness's target folder.
    ///
    /// # Errors
    /// One is missing: says how to build it.
    pub fn find() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let folder = own.parent().context("this program lies in no folder")?;
        // Test programs lie in target/PROFILE/deps.
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
        let found = Self { folder: folder.to_owned() };
        for program in [found.registry(), found.node(), found.holdfast()] {
            if !program.is_file() {
                bail!("{} is missing: run `cargo build --workspace --bins` first", program.display());
            }
        }
        Ok(found)
    }

    /// `holdfast-registry`.
    pub fn registry(&self) -> PathBuf {
        self.folder.join("holdfast-registry")
    }

    /// `holdfast-node`.
    pub fn node(&self) -> PathBuf {
        self.folder.join("holdfast-node")
    }

    /// `holdfast`.
    pub fn holdfast(&self) -> PathBuf {
        self.folder.join("holdfast")
    }

    /// The folder, to be put on a `PATH`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
