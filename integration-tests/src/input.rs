//! The files that the job stores: a real folder's, with all the names that people give.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// Folders that become accounts of their own; the rest share these.
const MAX_ACCOUNTS: usize = 64;

/// One file.
#[derive(Debug, Clone)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path below the input folder.
    pub relative: PathBuf,
    /// Its length in bytes.
    pub length: u64,
}

/// Everything below one folder.
#[derive(Debug, Default)]
pub struct Input {
    /// The folder.
    pub root: PathBuf,
    /// Regular files, in the order of their names.
    pub files: Vec<InputFile>,
    /// Symbolic links: counted and skipped.
    pub symlinks: u64,
    /// Sockets, devices and unreadable files: counted and skipped.
    pub others: u64,
}

impl Input {
    /// Walks a folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn walk(root: &Path) -> anyhow::Result<Self> {
        let mut input = Self { root: root.to_owned(), ..Self::default() };
        let mut open = vec![root.to_owned()];
        while let Some(folder) = open.pop() {
            let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
                let kind = entry.file_type().context("file type")?;
                if kind.is_symlink() {
                    input.symlinks += 1;
                } else if kind.is_dir() {
                    open.push(entry.path());
                } else {
                    input.take(&entry, kind.is_file())?;
                }
            }
        }
        input.files.sort_by(|a, b| a.relative.cmp(&b.relative));
        Ok(input)
    }

    /// The folder that a demonstration takes when nobody names one.
    ///
    /// # Errors
    /// No folder of this machine has enough files.
    pub fn default_folder() -> anyhow::Result<Self> {
        const FILES: usize = 2_000;
        const BYTES: u64 = 20 << 20;
        for folder in ["/usr/share/doc", "/usr/share"] {
            let input = Self::walk(Path::new(folder))?;
            if input.files.len() >= FILES && input.bytes() >= BYTES {
                return Ok(input);
            }
        }
        bail!("neither /usr/share/doc nor /usr/share has {FILES} files: name a folder with --input")
    }

    /// Length of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// The files by account: one for each top-level folder, up to a limit from which on folders share accounts.
    ///
    /// Files that lie in no folder have an account of their own.
    pub fn by_account(&self) -> Vec<Share> {
        let mut folders: BTreeMap<OsString, Vec<InputFile>> = BTreeMap::new();
        for file in &self.files {
            let mut parts = file.relative.components();
            let first = parts.next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
            let folder = if parts.next().is_some() { first } else { OsString::new() };
            folders.entry(folder).or_default().push(file.clone());
        }
        let mut shares: Vec<Share> = Vec::new();
        for (index, (folder, files)) in folders.into_iter().enumerate() {
            match shares.get_mut(index % MAX_ACCOUNTS) {
                Some(share) if index >= MAX_ACCOUNTS => share.add(folder, files),
                _ => shares.push(Share { folders: vec![folder], files }),
            }
        }
        shares
    }

    fn take(&mut self, entry: &fs::DirEntry, is_file: bool) -> anyhow::Result<()> {
        let path = entry.path();
        if !is_file || fs::File::open(&path).is_err() {
            self.others += 1;
            return Ok(());
        }
        let relative = path.strip_prefix(&self.root).context("a file outside the folder")?.to_owned();
        let length = entry.metadata().context("file length")?.len();
        self.files.push(InputFile { path, relative, length });
        Ok(())
    }
}

/// What one account stores.
#[derive(Debug, Clone)]
pub struct Share {
    /// The top-level folders; an empty name stands for the input folder itself.
    pub folders: Vec<OsString>,
    /// Their files.
    pub files: Vec<InputFile>,
}

impl Share {
    /// Length of all its files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.length).sum()
    }

    /// Half of its files, for another account.
    pub fn split(&mut self) -> Self {
        let half = self.files.split_off(self.files.len() / 2);
        Self { folders: self.folders.clone(), files: half }
    }

    fn add(&mut self, folder: OsString, files: Vec<InputFile>) {
        self.folders.push(folder);
        self.files.extend(files);
    }
}

/// Writes a small input folder with the names and lengths that hurt: not UTF-8, with line breaks, empty, at chunk borders.
///
/// # Errors
/// The file system refuses.
pub fn write_small(root: &Path, folders: usize) -> anyhow::Result<()> {
    let odd = std::ffi::OsStr::from_bytes(b"not utf-8 \xff\xfe name");
    let chunk = 256 * 1024;
    for number in 0..folders {
        let folder = root.join(format!("folder {number:02} of the small input"));
        fs::create_dir_all(folder.join("deeper/still deeper"))?;
        let texts = [
            ("a plain text file.txt", 900),
            ("deeper/an empty file.txt", 0),
            ("deeper/still deeper/line\nbreak in a name", 17_000),
        ];
        for (name, length) in texts {
            fs::write(folder.join(name), content(number, name, length))?;
        }
        fs::write(folder.join(odd), content(number, "odd", 5_000))?;
        if number == 0 {
            for length in [chunk - 1, chunk, chunk + 1, 3 * chunk + 7] {
                let name = format!("a file of {length} bytes.bin");
                fs::write(folder.join(&name), content(number, &name, length))?;
            }
            std::os::unix::fs::symlink("a plain text file.txt", folder.join("a link"))?;
        }
    }
    Ok(())
}

/// Bytes that look like nothing else: readable lines, each different.
fn content(number: usize, name: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 80);
    let mut line = 0u64;
    while bytes.len() < length {
        bytes.extend_from_slice(format!("folder {number}, {name:?}, line {line} of this file\n").as_bytes());
        line += 1;
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_counts_links_and_gives_each_top_level_folder_an_account() {
        let dir = tempfile::tempdir().unwrap();
        write_small(dir.path(), 3).unwrap();
        fs::write(dir.path().join("on top"), "x").unwrap();
        let input = Input::walk(dir.path()).unwrap();
        assert_eq!((input.files.len(), input.symlinks), (3 * 4 + 4 + 1, 1));
        let shares = input.by_account();
        assert_eq!(shares.len(), 4);
        assert_eq!(shares.iter().map(|share| share.files.len()).sum::<usize>(), input.files.len());
    }

    #[test]
    fn many_folders_share_accounts() {
        let dir = tempfile::tempdir().unwrap();
        write_small(dir.path(), 70).unwrap();
        let input = Input::walk(dir.path()).unwrap();
        let shares = input.by_account();
        assert_eq!(shares.len(), MAX_ACCOUNTS);
        assert_eq!(shares.iter().map(|share| share.files.len()).sum::<usize>(), input.files.len());
    }
}
