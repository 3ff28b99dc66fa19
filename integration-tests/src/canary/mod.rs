//! Looks for plaintext where only ciphertext may be: names, contents and keys, in folders and in recorded traffic.

mod capture;
mod folders;
mod search;

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;

pub use search::{Needles, Scan};

use crate::{input::InputFile, process};

/// What is looked for is at least this long: anything shorter occurs by chance.
pub const MIN_NEEDLE: usize = 12;
/// Length of a sample of a file's content.
const SAMPLE: usize = 32;

/// What was looked through, and what was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Bytes that were read.
    pub bytes: u64,
    /// Files that were read.
    pub files: u64,
    /// What was found: what it is, and where.
    pub found: BTreeMap<String, String>,
}

impl Findings {
    /// Fails with the first few findings.
    ///
    /// # Errors
    /// Something was found.
    pub fn expect_nothing(&self) -> anyhow::Result<()> {
        if self.found.is_empty() {
            return Ok(());
        }
        let some: Vec<_> =
            self.found.iter().take(8).map(|(what, place)| format!("{what} in {place}")).collect();
        anyhow::bail!("{} secrets lie open: {}", self.found.len(), some.join("; "))
    }
}

/// Adds a file's name and samples of its content.
///
/// # Errors
/// The file cannot be read.
pub fn add_file(needles: &mut Needles, file: &InputFile) -> anyhow::Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let shown = file.relative.display();
    needles.add(format!("path {shown}"), file.relative.as_os_str().as_bytes());
    if let Some(name) = file.relative.file_name() {
        needles.add(format!("name {shown}"), name.as_bytes());
    }
    let content = std::fs::read(&file.path).with_context(|| format!("reading {}", file.path.display()))?;
    for (place, at) in
        [("beginning", 0), ("middle", content.len() / 2), ("end", content.len().saturating_sub(SAMPLE))]
    {
        let sample = content.get(at..).unwrap_or_default();
        let sample = sample.get(..SAMPLE).unwrap_or_default();
        if is_telling(sample) {
            needles.add(format!("{place} of {shown}"), sample);
        }
    }
    Ok(())
}

/// Adds a key as bytes and in the two spellings that logs would use.
pub fn add_key(needles: &mut Needles, what: &str, key: &[u8]) {
    needles.add(what.to_owned(), key);
    needles.add(format!("{what} (hex)"), hex::encode(key).as_bytes());
    needles.add(format!("{what} (HEX)"), hex::encode_upper(key).as_bytes());
}

/// Searches all files below a folder, whatever they are.
///
/// # Errors
/// The folder cannot be read.
pub fn search_folder(needles: &Needles, folder: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    folders::search(needles, folder, findings)
}

/// Searches what applications said in a packet capture, each direction of each connection as one stream.
///
/// # Errors
/// Not a capture of Ethernet frames.
pub fn search_capture(needles: &Needles, capture: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    capture::search(needles, capture, findings)
}

/// Plants a needle in a copy of what is searched, to show that the search would have found it.
///
/// # Errors
/// The file system refuses.
pub fn plant(folder: &Path, planted: &[u8]) -> anyhow::Result<std::path::PathBuf> {
    use std::io::Write as _;
    let place = folder.join("planted");
    // Not at the beginning, and across the border of two reads.
    let mut file = process::append(&place)?;
    file.write_all(&vec![0xa5; search::BLOCK - planted.len() / 2])?;
    file.write_all(planted)?;
    file.write_all(&[0x5a; 1000])?;
    Ok(place)
}

/// Whether a sample could hardly occur elsewhere: not a run of blanks, zeroes or one drawn line.
fn is_telling(sample: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in sample {
        if let Some(slot) = seen.get_mut(usize::from(*byte)) {
            *slot = true;
        }
    }
    sample.len() == SAMPLE && seen.iter().filter(|seen| **seen).count() >= 10
}

#[cfg(test)]
mod tests;
