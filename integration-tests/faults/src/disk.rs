//! A process whose disk fails: environment for the start, and the file by which faults are switched on and off.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use super::{
    draw::Draw,
    power::{self, Loss},
};

/// Whether syncs reach the real disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syncs {
    /// They do.
    Real,
    /// They are only written down: faster, and as good when the power loss is a made one.
    WrittenDown,
}

/// One fault; see the library's `control`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Files may grow by so many bytes.
    Room(u64),
    /// The n-th sync fails.
    FailSync(u64),
    /// The process is killed before the n-th change or sync.
    KillAt(u64),
    /// Each sync takes so many microseconds longer.
    SlowSyncs(u64),
    /// The clock is ahead by so many milliseconds.
    ClockMs(i64),
}

/// The disk below one folder, with its journal beside it.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    journal: PathBuf,
    library: PathBuf,
    syncs: Syncs,
}

impl Disk {
    /// The disk below `folder`, whose present content is durable.
    ///
    /// # Errors
    /// The library is not built, or folders cannot be made.
    pub fn new(folder: &Path, syncs: Syncs) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).context("the disk's folder")?;
        let folder = folder.canonicalize().context("the disk's folder")?;
        let journal = folder.with_extension("journal");
        let disk = Self { folder, journal, library: library()?, syncs };
        disk.forget()?;
        Ok(disk)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Environment variables for a process on this disk.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut environment = vec![
            ("LD_PRELOAD".to_owned(), text(&self.library)),
            ("HOLDFAST_DISK_ROOT".to_owned(), text(&self.folder)),
            ("HOLDFAST_DISK_JOURNAL".to_owned(), text(&self.journal)),
        ];
        if self.syncs == Syncs::WrittenDown {
            environment.push(("HOLDFAST_DISK_NO_SYNC".to_owned(), "1".to_owned()));
        }
        environment
    }

    /// From now on these faults and no others.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set(&self, faults: &[Fault]) -> anyhow::Result<()> {
        let line = |fault: &Fault| match fault {
            Fault::Room(bytes) => format!("room {bytes}\n"),
            Fault::FailSync(nth) => format!("fail-sync {nth}\n"),
            Fault::KillAt(nth) => format!("kill-at {nth}\n"),
            Fault::SlowSyncs(us) => format!("sync-delay-us {us}\n"),
            Fault::ClockMs(ms) => format!("clock-ms {ms}\n"),
        };
        // Replaced at once: nobody reads half of it.
        let new = self.journal.join("control.new");
        fs::write(&new, faults.iter().map(line).collect::<String>()).context("writing faults")?;
        fs::rename(&new, self.journal.join("control")).context("switching faults")
    }

    /// The power is lost and comes back: the folder becomes what the seed left of it. The process must have been killed.
    ///
    /// # Errors
    /// Files cannot be copied.
    pub fn lose_power(&self, draw: &mut Draw) -> anyhow::Result<Loss> {
        let image = self.folder.with_extension("image");
        let loss = power::image(&self.folder, &self.journal, draw, &image)?;
        fs::remove_dir_all(&self.folder).context("the folder before the power loss")?;
        fs::rename(&image, &self.folder).context("the folder after the power loss")?;
        self.forget()?;
        Ok(loss)
    }

    /// Everything that is there now is durable: begins a new journal.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn forget(&self) -> anyhow::Result<()> {
        if self.journal.exists() {
            fs::remove_dir_all(&self.journal).context("the old journal")?;
        }
        fs::create_dir_all(self.journal.join("victims")).context("the journal's folder")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.journal));
    }
}

/// The library, beside the programs.
///
/// # Errors
/// It is not there: says how to build it.
pub fn library() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where is this program?")?;
    let folder = own.parent().context("this program lies in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let library = folder.join("libholdfast_disk_faults.so");
    if !library.is_file() {
        bail!("{} is missing: run `cargo build -p holdfast-disk-faults`", library.display());
    }
    Ok(library)
}
