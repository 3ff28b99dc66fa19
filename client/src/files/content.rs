//! Local content as it is uploaded: read at any offset, hashed once in order, and watched for changes.

use std::{
    fs::{File as LocalFile, Metadata},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use holdfast_domain::Sha256Hash;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::{FileError, io};
use crate::{Error, limits::CHUNK_BYTES};

/// A regular file that is being uploaded. All of it blocks: it is used on threads that may.
pub(super) struct Source {
    file: LocalFile,
    path: PathBuf,
    metadata: Metadata,
    hasher: Sha256,
    /// Everything before this offset is in the hasher.
    hashed: u64,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        // Before it is opened: opening a pipe would wait for whoever writes to it.
        if !std::fs::metadata(path).map_err(io("open", path))?.is_file() {
            return Err(FileError::NotAFile(path.to_owned()).into());
        }
        let file = LocalFile::open(path).map_err(io("open", path))?;
        let metadata = file.metadata().map_err(io("inspect", path))?;
        Ok(Self { file, path: path.to_owned(), metadata, hasher: Sha256::new(), hashed: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(super) fn size(&self) -> u64 {
        self.metadata.len()
    }

    /// Sends `from..to` in chunks until done or until nobody listens any more. What lies before `from` is hashed first.
    pub(super) fn feed(&mut self, from: u64, to: u64, chunks: &mpsc::Sender<Bytes>) -> Result<(), Error> {
        while self.hashed < from {
            self.read(self.hashed, from)?;
        }
        let mut at = from;
        while at < to {
            let chunk = self.read(at, to)?;
            at += len(&chunk);
            if chunks.blocking_send(chunk).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// All of a small file.
    pub(super) fn read_all(&mut self) -> Result<Bytes, Error> {
        if self.size() == 0 { Ok(Bytes::new()) } else { self.read(0, self.size()) }
    }

    /// The hash of the whole content, which must not have changed meanwhile.
    pub(super) fn finish(&mut self) -> Result<Sha256Hash, Error> {
        while self.hashed < self.size() {
            self.read(self.hashed, self.size())?;
        }
        let now = self.file.metadata().map_err(io("inspect", &self.path))?;
        let state = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
        if state(&now) != state(&self.metadata) {
            return Err(FileError::Changed(self.path.clone()).into());
        }
        Ok(Sha256Hash::new(self.hasher.clone().finalize().into()))
    }

    /// One chunk at `at`, which is not past what is hashed.
    fn read(&mut self, at: u64, to: u64) -> Result<Bytes, Error> {
        let wanted = usize::try_from(to.saturating_sub(at)).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut chunk = vec![0; wanted];
        let read = self.file.read_exact_at(&mut chunk, at);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => FileError::Changed(self.path.clone()).into(),
            _ => io("read", &self.path)(error),
        })?;
        let known = usize::try_from(self.hashed.saturating_sub(at)).unwrap_or(usize::MAX);
        if let Some(new) = chunk.get(known..) {
            self.hasher.update(new);
            self.hashed = self.hashed.max(at + len(&chunk));
        }
        Ok(chunk.into())
    }
}

pub(super) fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(dir: &Path, content: &[u8]) -> Source {
        let path = dir.join("file");
        std::fs::write(&path, content).unwrap();
        Source::open(&path).unwrap()
    }

    fn feed(source: &mut Source, from: u64, to: u64) -> Vec<u8> {
        let (sender, mut receiver) = mpsc::channel(64);
        source.feed(from, to, &sender).unwrap();
        drop(sender);
        let mut bytes = Vec::new();
        while let Some(chunk) = receiver.blocking_recv() {
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut grown = source(dir.path(), b"some content");
        feed(&mut grown, 0, 12);
        std::fs::write(dir.path().join("file"), b"some other content").unwrap();
        assert!(matches!(grown.finish(), Err(Error::File(FileError::Changed(_)))));
        let mut cut = source(dir.path(), b"some content");
        std::fs::write(dir.path().join("file"), b"cut").unwrap();
        let (sender, _receiver) = mpsc::channel(64);
        assert!(matches!(cut.feed(0, 12, &sender), Err(Error::File(FileError::Changed(_)))));
    }

    #[test]
    fn only_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Source::open(dir.path()), Err(Error::File(FileError::NotAFile(_)))));
        assert!(matches!(Source::open(&dir.path().join("none")), Err(Error::Storage(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn invariant_the_hash_is_the_contents_however_often_parts_are_sent(
            content in prop::collection::vec(any::<u8>(), 1..3000),
            starts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let dir = tempfile::tempdir().unwrap();
            // Several chunks, without tests that are slow.
            let content = content.repeat(400);
            let mut source = source(dir.path(), &content);
            for start in starts {
                let from = start.index(content.len());
                let to = (from + 300_000).min(content.len());
                let fed = feed(&mut source, from.try_into().unwrap(), to.try_into().unwrap());
                prop_assert_eq!(&fed[..], &content[from..to]);
            }
            prop_assert_eq!(source.finish().unwrap(), Sha256Hash::of(&content));
        }
    }
}
