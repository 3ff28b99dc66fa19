//! Searching files.

use std::{
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use anyhow::Context as _;

use super::{
    Findings, Needles,
    search::{BLOCK, Scan},
};

pub(super) fn search(needles: &Needles, folder: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let kind = fs::symlink_metadata(&path).with_context(|| format!("inspecting {}", path.display()))?;
        if kind.is_dir() {
            let entries = fs::read_dir(&path).with_context(|| format!("reading {}", path.display()))?;
            for entry in entries {
                open.push(entry.context("a folder's entry")?.path());
            }
        } else if kind.is_file() {
            file(needles, &path, findings)?;
        }
    }
    Ok(())
}

fn file(needles: &Needles, path: &Path, findings: &mut Findings) -> anyhow::Result<()> {
    let failed = || format!("reading {}", path.display());
    let mut source = File::open(path).with_context(failed)?;
    let mut scan = Scan::new(needles);
    let mut block = vec![0; BLOCK];
    let mut found = Vec::new();
    loop {
        let length = source.read(&mut block).with_context(failed)?;
        let piece = block.get(..length).unwrap_or_default();
        if piece.is_empty() {
            break;
        }
        findings.bytes += u64::try_from(length)?;
        scan.feed(piece, |what| found.push(what));
    }
    scan.finish(|what| found.push(what));
    for what in found {
        findings.found.entry(what.to_owned()).or_insert_with(|| path.display().to_string());
    }
    findings.files += 1;
    Ok(())
}
