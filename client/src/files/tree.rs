//! Whole trees: many files at a time, but not more than asked for, and memory that does not grow with the tree.

use std::{
    fs::FileType,
    path::{Path, PathBuf},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use holdfast_domain::Reason;
use tokio::{sync::mpsc, task::spawn_blocking};
use tokio_stream::wrappers::ReceiverStream;

use super::{File, FileError, FileName, Files, Target, io, put::blocking};
use crate::{
    Error, ErrorKind,
    limits::{MAX_JOBS, WALK_AHEAD},
    storage::StorageError,
};

/// A folder to upload.
#[derive(Debug, Clone)]
pub struct PutTree {
    /// The folder.
    pub dir: PathBuf,
    /// Names begin with this.
    pub prefix: Vec<u8>,
    /// Transfers at a time.
    pub jobs: u16,
}

/// A prefix to download.
#[derive(Debug, Clone)]
pub struct GetTree {
    /// Names under this; empty for all.
    pub prefix: Vec<u8>,
    /// Where they go.
    pub dir: PathBuf,
    /// Transfers at a time.
    pub jobs: u16,
}

/// One thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum TreeEvent {
    /// A file was transferred or removed.
    Done(File),
    /// A file was not; the others go on.
    Failed {
        /// Which.
        what: String,
        /// Why.
        error: Error,
    },
    /// A symbolic link was skipped.
    Symlink(PathBuf),
    /// A device, socket or pipe was skipped.
    Special(PathBuf),
}

/// What became of a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TreeReport {
    /// Files done.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Files that failed.
    pub failed: u64,
    /// Symbolic links skipped.
    pub symlinks: u64,
    /// Devices, sockets and pipes skipped.
    pub special: u64,
}

/// Called for each [`TreeEvent`].
pub type OnEvent<'a> = &'a (dyn Fn(&TreeEvent) + Send + Sync);

/// What the walk finds.
enum Found {
    File(PathBuf),
    Skipped(TreeEvent),
}

impl Files {
    /// Uploads every regular file of a folder; symbolic links are counted and not followed.
    ///
    /// # Errors
    /// What concerns one file is an event; what concerns all of them ends the tree: see [`Error`].
    pub async fn put_tree(&self, tree: &PutTree, on_event: OnEvent<'_>) -> Result<TreeReport, Error> {
        let entries = walk(tree.dir.clone()).map(|found| async move {
            match found? {
                Found::Skipped(event) => Ok(event),
                Found::File(path) => {
                    let put = self.put_below(tree, &path).await;
                    settle(put, || path.display().to_string())
                }
            }
        });
        report(entries.buffer_unordered(jobs(tree.jobs)), on_event).await
    }

    async fn put_below(&self, tree: &PutTree, path: &Path) -> Result<File, Error> {
        let name = FileName::under(&tree.prefix, path)
            .map_err(|source| FileError::Name { name: path.display().to_string(), source })?;
        self.put(&name, &tree.dir.join(path), &|_| ()).await
    }

    /// Downloads every file under a prefix; names that are no local paths are refused one by one.
    ///
    /// # Errors
    /// As [`Self::put_tree`].
    pub async fn get_tree(&self, tree: &GetTree, on_event: OnEvent<'_>) -> Result<TreeReport, Error> {
        let dir = tree.dir.clone();
        blocking(move || std::fs::create_dir_all(&dir).map_err(io("make folder", &dir))).await?;
        let entries = self.listed(&tree.prefix).map(|file| async move {
            let file = file?;
            let got = self.get_below(tree, &file.name).await;
            settle(got, || file.name.to_string())
        });
        report(entries.buffer_unordered(jobs(tree.jobs)), on_event).await
    }

    async fn get_below(&self, tree: &GetTree, name: &FileName) -> Result<File, Error> {
        let path = name
            .path_below(&tree.prefix)
            .map_err(|source| FileError::Name { name: name.to_string(), source })?;
        let target = tree.dir.join(path);
        let parent = target.parent().unwrap_or(&tree.dir).to_owned();
        blocking(move || std::fs::create_dir_all(&parent).map_err(io("make folder", &parent))).await?;
        self.get(name, Target::File(target), &|_| ()).await
    }

    /// Removes every file under a prefix.
    ///
    /// # Errors
    /// As [`Self::put_tree`].
    pub async fn remove_tree(
        &self,
        prefix: &[u8],
        parallel: u16,
        on_event: OnEvent<'_>,
    ) -> Result<TreeReport, Error> {
        let entries = self.listed(prefix).map(|file| async move {
            let file = file?;
            let removed = match self.remove(&file.name).await {
                // Somebody else was faster.
                Err(Error::Refused { reason: Reason::NotFound, .. }) => Ok(()),
                other => other,
            };
            settle(removed.map(|()| file.clone()), || file.name.to_string())
        });
        report(entries.buffer_unordered(jobs(parallel)), on_event).await
    }

    /// All files under a prefix, one page ahead at most.
    fn listed(&self, prefix: &[u8]) -> impl Stream<Item = Result<File, Error>> + use<> {
        let pages = stream::try_unfold(self.list(prefix), |mut listing| async move {
            Ok::<_, Error>(listing.next_page().await?.map(|page| (page, listing)))
        });
        pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten()
    }
}

/// A failure of one file is an event; one that all files would meet ends the tree.
fn settle(result: Result<File, Error>, what: impl FnOnce() -> String) -> Result<TreeEvent, Error> {
    match result {
        Ok(file) => Ok(TreeEvent::Done(file)),
        Err(error) if concerns_one_file(&error) => Ok(TreeEvent::Failed { what: what(), error }),
        Err(error) => Err(error),
    }
}

fn concerns_one_file(error: &Error) -> bool {
    match error {
        Error::File(_) => true,
        Error::Storage(StorageError::Io { source, .. }) => source.kind() != std::io::ErrorKind::StorageFull,
        Error::Storage(_) => true,
        other => matches!(
            other.kind(),
            ErrorKind::Refused(Reason::NotFound | Reason::HashMismatch | Reason::Malformed)
        ),
    }
}

async fn report(
    events: impl Stream<Item = Result<TreeEvent, Error>>,
    on_event: OnEvent<'_>,
) -> Result<TreeReport, Error> {
    let mut report = TreeReport::default();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let event = event?;
        match &event {
            TreeEvent::Done(file) => {
                report.files += 1;
                report.bytes = report.bytes.saturating_add(file.size);
            }
            TreeEvent::Failed { .. } => report.failed += 1,
            TreeEvent::Symlink(_) => report.symlinks += 1,
            TreeEvent::Special(_) => report.special += 1,
        }
        on_event(&event);
    }
    Ok(report)
}

fn jobs(asked: u16) -> usize {
    usize::from(asked.clamp(1, MAX_JOBS))
}

/// Everything below a folder, by paths relative to it, read on a thread that is never far ahead.
fn walk(dir: PathBuf) -> ReceiverStream<Result<Found, Error>> {
    let (sender, receiver) = mpsc::channel(WALK_AHEAD);
    spawn_blocking(move || {
        let mut open = vec![PathBuf::new()];
        while let Some(relative) = open.pop() {
            match walk_one(&dir, &relative, &sender) {
                Ok(Some(below)) => open.extend(below),
                Ok(None) => return,
                // The folder itself must be readable; one below it is like a file that is not.
                Err(error) if relative.as_os_str().is_empty() => {
                    let _ = sender.blocking_send(Err(error));
                }
                Err(error) => {
                    let what = relative.display().to_string();
                    let _ = sender.blocking_send(Ok(Found::Skipped(TreeEvent::Failed { what, error })));
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// Folders below one folder; `None` when nobody listens any more.
fn walk_one(
    dir: &Path,
    relative: &Path,
    found: &mpsc::Sender<Result<Found, Error>>,
) -> Result<Option<Vec<PathBuf>>, Error> {
    let path = dir.join(relative);
    let mut below = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(io("list", &path))? {
        let entry = entry.map_err(io("list", &path))?;
        let kind: FileType = entry.file_type().map_err(io("inspect", &entry.path()))?;
        let relative = relative.join(entry.file_name());
        let item = if kind.is_dir() {
            below.push(relative);
            continue;
        } else if kind.is_symlink() {
            Found::Skipped(TreeEvent::Symlink(relative))
        } else if kind.is_file() {
            Found::File(relative)
        } else {
            Found::Skipped(TreeEvent::Special(relative))
        };
        if found.blocking_send(Ok(item)).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(below))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use super::*;

    #[tokio::test]
    async fn a_walk_finds_files_by_bytes_and_skips_links_and_pipes() {
        let dir = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"\xff\xfe");
        std::fs::create_dir_all(dir.path().join("a").join(odd)).unwrap();
        std::fs::write(dir.path().join("a").join(odd).join("file"), b"x").unwrap();
        std::fs::write(dir.path().join("top"), b"x").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("a/link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        let (mut files, mut skipped) = (BTreeSet::new(), Vec::new());
        let mut entries = walk(dir.path().to_owned());
        while let Some(entry) = entries.next().await {
            match entry.unwrap() {
                Found::File(path) => assert!(files.insert(path)),
                Found::Skipped(event) => skipped.push(event),
            }
        }
        let expected = [PathBuf::from("top"), Path::new("a").join(odd).join("file")];
        assert_eq!(files, expected.into_iter().collect());
        assert_eq!(skipped.len(), 2);
        assert!(
            skipped
                .iter()
                .any(|event| matches!(event, TreeEvent::Symlink(path) if path == Path::new("a/link")))
        );
        assert!(skipped.iter().any(|event| matches!(event, TreeEvent::Special(_))));
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_an_error() {
        let mut entries = walk(PathBuf::from("/nonexistent/folder"));
        assert!(matches!(entries.next().await, Some(Err(Error::Storage(_)))));
    }

    #[test]
    fn what_all_files_would_meet_ends_the_tree() {
        let banned = Error::Refused { action: "put".into(), reason: Reason::Banned };
        let gone = Error::Refused { action: "get".into(), reason: Reason::NotFound };
        assert!(!concerns_one_file(&banned) && concerns_one_file(&gone));
    }
}
