//! What a power loss leaves of a folder.
//!
//! Each sector of 512 bytes that was changed since its file was last synced holds the newest bytes or any that it held since
//! that sync; a file's size likewise. Of the changes of a folder's names since it was last synced a first part holds, the rest
//! never happened. What was synced is there. So it is with the file systems in use, and with worse ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{
    draw::Draw,
    journal::{self, Record, Sequence},
};

const SECTOR: u64 = 512;
/// The same for lengths of slices.
const SECTOR_LEN: usize = 512;

/// What was lost, for messages and for tests that want to know that something was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loss {
    /// Files with changes that were not synced.
    pub files: usize,
    /// Sectors that are not what they were last.
    pub sectors: usize,
    /// Makings, renamings and removals that never happened.
    pub names: Vec<String>,
}

/// How much of one file's changes reached the disk.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Nothing,
    Everything,
    /// The first so many changes.
    First(usize),
    /// Each sector by itself.
    Torn,
}

/// Makes the image `into` of what is in `folder` after a power loss now, with the choices drawn.
///
/// # Errors
/// Files cannot be read or written.
pub fn image(folder: &Path, journal: &Path, draw: &mut Draw, into: &Path) -> anyhow::Result<Loss> {
    let records = match fs::read(journal.join("journal")) {
        Ok(bytes) => journal::decode(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).context("reading a disk's journal"),
    };
    if into.exists() {
        fs::remove_dir_all(into).context("an earlier image")?;
    }
    let victims = into.with_extension("victims");
    let mut copies = BTreeMap::new();
    copy_tree(folder, into, &mut copies)?;
    copy_tree(&journal.join("victims"), &victims, &mut copies)?;
    let mut loss = Loss::default();
    for (file, changes) in volatile_changes(&records) {
        // A file that is nowhere any more was removed for good.
        for path in copies.get(&file).into_iter().flatten() {
            loss.files += 1;
            loss.sectors += lose_content(path, &changes, draw)?;
        }
    }
    loss.names = lose_names(&records, into, &victims, draw);
    fs::remove_dir_all(&victims).context("the image's victims")?;
    Ok(loss)
}

/// Copies a tree, and tells which inode went where.
fn copy_tree(from: &Path, to: &Path, copies: &mut BTreeMap<u64, Vec<PathBuf>>) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    fs::set_permissions(to, fs::metadata(from).context("a folder's mode")?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let (path, target, about) = (entry.path(), to.join(entry.file_name()), entry.metadata()?);
        if about.is_dir() {
            copy_tree(&path, &target, copies)?;
        } else if about.is_file() {
            fs::copy(&path, &target).with_context(|| format!("copying {}", path.display()))?;
            copies.entry(about.ino()).or_default().push(target);
        }
    }
    Ok(())
}

/// For each inode the changes that no sync covers, oldest first.
fn volatile_changes(records: &[(Sequence, Record)]) -> BTreeMap<u64, Vec<&Record>> {
    let mut changes: BTreeMap<u64, Vec<(Sequence, &Record)>> = BTreeMap::new();
    for (sequence, record) in records {
        match record {
            Record::Write { file, .. } | Record::Resize { file, .. } => {
                changes.entry(*file).or_default().push((*sequence, record));
            }
            Record::Synced { file, upto } => {
                changes.entry(*file).or_default().retain(|(sequence, _)| sequence > upto);
            }
            // The inode was another file's before.
            Record::Created { file, .. } => drop(changes.remove(file)),
            _ => {}
        }
    }
    changes.retain(|_, changes| !changes.is_empty());
    let records = |changes: Vec<(Sequence, _)>| changes.into_iter().map(|(_, record)| record).collect();
    changes.into_iter().map(|(file, changes)| (file, records(changes))).collect()
}

/// Takes a part of the changes of one file back. Returns how many sectors are not what they were.
fn lose_content(path: &Path, changes: &[&Record], draw: &mut Draw) -> anyhow::Result<usize> {
    let fate = match draw.below(6) {
        0 => Fate::Nothing,
        1 => Fate::Everything,
        2 | 3 => Fate::First(draw.index(changes.len() + 1)),
        _ => Fate::Torn,
    };
    let file = fs::OpenOptions::new().read(true).write(true).open(path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    let size = file.metadata()?.len();
    let mut lost = 0;
    for (number, versions) in versions(&file, changes)? {
        let pick = match fate {
            Fate::Nothing => versions.first(),
            Fate::Everything => None,
            // The sector as it was before the first change that did not reach the disk.
            Fate::First(kept) => versions.iter().find(|version| version.before >= kept),
            Fate::Torn => versions.get(draw.index(versions.len() + 1)),
        };
        if let Some(version) = pick {
            lost += 1;
            file.write_all_at(&version.bytes, number * SECTOR).context("taking a sector back")?;
        }
    }
    let sizes: Vec<u64> = changes.iter().map(|change| size_before(change)).collect();
    let pick = match fate {
        Fate::Nothing => sizes.first(),
        Fate::Everything => None,
        Fate::First(kept) => sizes.get(kept),
        Fate::Torn => sizes.get(draw.index(sizes.len() + 1)),
    };
    // Also back to what it was, when sectors beyond its end were written.
    file.set_len(*pick.unwrap_or(&size)).context("taking a size back")?;
    Ok(lost)
}

fn size_before(change: &Record) -> u64 {
    match change {
        Record::Write { size, .. } | Record::Resize { size, .. } => *size,
        _ => 0,
    }
}

/// What a sector held before one of the changes.
struct Version {
    before: usize,
    bytes: [u8; SECTOR_LEN],
}

/// For each sector that was changed what it held before each of its changes, oldest first.
fn versions(file: &fs::File, changes: &[&Record]) -> anyhow::Result<BTreeMap<u64, Vec<Version>>> {
    let mut now: BTreeMap<u64, [u8; SECTOR_LEN]> = BTreeMap::new();
    let mut versions: BTreeMap<u64, Vec<Version>> = BTreeMap::new();
    // Backwards from what is there.
    for (before, change) in changes.iter().enumerate().rev() {
        let (start, len, old) = match change {
            Record::Write { offset, len, old, .. } => (*offset, *len, old),
            // What was cut off comes back; what was added was nothing.
            Record::Resize { size, to, old, .. } => (*to, size.saturating_sub(*to), old),
            _ => continue,
        };
        let end = start.saturating_add(len);
        for number in start / SECTOR..end.div_ceil(SECTOR) {
            let sector = match now.get(&number) {
                Some(sector) => *sector,
                None => read_sector(file, number)?,
            };
            let mut earlier = sector;
            for (at, byte) in earlier.iter_mut().enumerate() {
                let position = number * SECTOR + u64::try_from(at)?;
                if position >= start && position < end {
                    let at = usize::try_from(position - start)?;
                    *byte = old.get(at).copied().unwrap_or(0);
                }
            }
            now.insert(number, earlier);
            versions.entry(number).or_default().push(Version { before, bytes: earlier });
        }
    }
    versions.values_mut().for_each(|versions| versions.reverse());
    Ok(versions)
}

fn read_sector(file: &fs::File, number: u64) -> anyhow::Result<[u8; SECTOR_LEN]> {
    let mut sector = [0; SECTOR_LEN];
    let mut done = 0;
    while let Some(rest) = sector.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = number * SECTOR + u64::try_from(done)?;
        match file.read_at(rest, at).context("reading a sector")? {
            0 => break,
            read => done += read,
        }
    }
    Ok(sector)
}

/// Takes changes of names back, newest first. Returns which.
fn lose_names(records: &[(Sequence, Record)], image: &Path, victims: &Path, draw: &mut Draw) -> Vec<String> {
    let mut volatile: BTreeMap<&[u8], Vec<Sequence>> = BTreeMap::new();
    for (sequence, record) in records {
        match record {
            Record::FolderSynced { path, upto } => {
                volatile.entry(path).or_default().retain(|sequence| sequence > upto);
            }
            record => {
                if let Some(folder) = folder_of(record) {
                    volatile.entry(folder).or_default().push(*sequence);
                }
            }
        }
    }
    let mut lost: BTreeSet<Sequence> = BTreeSet::new();
    for changes in volatile.values() {
        lost.extend(changes.iter().copied().skip(draw.index(changes.len() + 1)));
    }
    let undone = records.iter().rev().filter(|(sequence, _)| lost.contains(sequence));
    let undone = undone.filter(|(sequence, record)| take_back(*sequence, record, image, victims).is_ok());
    undone.map(|(_, record)| told(record)).collect()
}

fn told(record: &Record) -> String {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    match record {
        Record::Created { path, .. } => format!("new {}", text(path)),
        Record::MadeFolder { path } => format!("new {}/", text(path)),
        Record::Renamed { from, to, .. } => format!("{} to {}", text(from), text(to)),
        Record::Removed { path } => format!("removed {}", text(path)),
        Record::RemovedFolder { path } => format!("removed {}/", text(path)),
        _ => String::new(),
    }
}

/// The folder whose sync makes a change of a name durable.
fn folder_of(record: &Record) -> Option<&[u8]> {
    let path = match record {
        Record::Created { path, .. }
        | Record::MadeFolder { path }
        | Record::Renamed { to: path, .. }
        | Record::Removed { path }
        | Record::RemovedFolder { path } => path,
        _ => return None,
    };
    let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    path.get(..end)
}

/// Makes one change of a name undone; an error says that there is nothing to undo, as its folder is not there any more.
fn take_back(sequence: Sequence, record: &Record, image: &Path, victims: &Path) -> std::io::Result<()> {
    let at = |path: &[u8]| image.join(std::ffi::OsStr::from_bytes(path));
    let victim = victims.join(sequence.to_string());
    match record {
        Record::Created { path, .. } => fs::remove_file(at(path)),
        Record::MadeFolder { path } => fs::remove_dir_all(at(path)),
        Record::RemovedFolder { path } => fs::create_dir(at(path)),
        Record::Removed { path } => fs::rename(victim, at(path)),
        Record::Renamed { from, to, replaced } => {
            fs::rename(at(to), at(from))?;
            if *replaced { fs::rename(victim, at(to)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}
