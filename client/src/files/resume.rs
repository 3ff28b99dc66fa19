//! Which uploads are unfinished: one small file for each, named by what is uploaded, so that the same command goes on where the
//! last one stopped.

use std::{fs::Metadata, os::unix::fs::MetadataExt as _, path::PathBuf};

use holdfast_domain::{HomeId, Sha256Hash, UnixMs, UploadId, codec};
use holdfast_keys::{EntropyError, random_array};
use serde::{Deserialize, Serialize};

use super::FileName;
use crate::{Error, limits::UPLOAD_LIFE_MS, storage};

/// Most records looked at while pruning.
const MAX_RECORDS: usize = 10_000;
/// Largest record: an id and a time.
const MAX_RECORD: usize = 256;

/// What makes two uploads the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadKey(Sha256Hash);

#[derive(Serialize, Deserialize)]
struct Record {
    upload: UploadId,
    begun: UnixMs,
}

impl UploadKey {
    /// Of a local file under a name in a home; another size or modification time makes another upload.
    pub(super) fn of(
        home: HomeId,
        name: &FileName,
        path: &std::path::Path,
        metadata: &Metadata,
    ) -> Result<Self, Error> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = absolute.as_os_str().as_encoded_bytes();
        Self::of_parts(home, name, path, metadata.len(), (metadata.mtime(), metadata.mtime_nsec()))
    }

    fn of_parts(
        home: HomeId,
        name: &FileName,
        path: &[u8],
        size: u64,
        modified: (i64, i64),
    ) -> Result<Self, Error> {
        Ok(Self(Sha256Hash::of(&codec::encode(&(home, name.as_bytes(), path, size, modified))?)))
    }
}

/// The records of one credential directory.
pub(super) struct ResumeStore {
    dir: PathBuf,
}

impl ResumeStore {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The id of the unfinished upload, or a new one that is remembered. Records that cannot be used are replaced.
    pub(super) fn begin(&self, key: &UploadKey, now: UnixMs) -> Result<UploadId, Error> {
        let file = self.file(key);
        let most = u64::try_from(MAX_RECORD).unwrap_or(u64::MAX);
        let known = storage::read(&file, most).ok().and_then(|bytes| codec::decode(&bytes, MAX_RECORD).ok());
        match known {
            Some(Record { upload, begun }) if now.since(begun) < UPLOAD_LIFE_MS => Ok(upload),
            _ => self.renew(key, now),
        }
    }

    /// Forgets the known id and makes another.
    pub(super) fn renew(&self, key: &UploadKey, now: UnixMs) -> Result<UploadId, Error> {
        let upload = new_upload()?;
        storage::make_private_dir(&self.dir)?;
        self.prune(now);
        storage::write(&self.file(key), &codec::encode(&Record { upload, begun: now })?)?;
        Ok(upload)
    }

    /// The upload is done, or can never be.
    pub(super) fn forget(&self, key: &UploadKey) {
        // A record that stays is pruned in a day and harms nobody until then.
        let _ = std::fs::remove_file(self.file(key));
    }

    /// Removes records of uploads that the service has forgotten.
    fn prune(&self, now: UnixMs) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten().take(MAX_RECORDS) {
            let seconds = entry.metadata().map(|metadata| metadata.mtime()).unwrap_or(i64::MAX);
            let written = UnixMs(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
            if now.since(written) > UPLOAD_LIFE_MS {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, key: &UploadKey) -> PathBuf {
        self.dir.join(key.0.to_string())
    }
}

pub(super) fn new_upload() -> Result<UploadId, EntropyError> {
    random_array().map(UploadId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: HomeId = HomeId::Account(holdfast_domain::AccountId::new([1; 16]));

    fn key(name: &[u8], path: &[u8], size: u64, modified: (i64, i64)) -> UploadKey {
        UploadKey::of_parts(HOME, &FileName::new(name.to_vec()).unwrap(), path, size, modified).unwrap()
    }

    #[test]
    fn the_same_file_under_the_same_name_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = ResumeStore::new(dir.path().join("uploads"));
        let key = key(b"n", b"/p", 5, (1, 2));
        let id = store.begin(&key, UnixMs(1)).unwrap();
        assert_eq!(ResumeStore::new(dir.path().join("uploads")).begin(&key, UnixMs(2)).unwrap(), id);
        store.forget(&key);
        assert_ne!(store.begin(&key, UnixMs(3)).unwrap(), id);
    }

    #[test]
    fn another_name_path_size_or_time_is_another_upload() {
        let base = key(b"n", b"/p", 5, (1, 2));
        for other in [
            key(b"m", b"/p", 5, (1, 2)),
            key(b"n", b"/q", 5, (1, 2)),
            key(b"n", b"/p", 6, (1, 2)),
            key(b"n", b"/p", 5, (1, 3)),
            key(b"n/", b"p", 5, (1, 2)),
        ] {
            assert_ne!(other, base);
        }
    }

    #[test]
    fn a_record_that_is_too_old_or_damaged_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = ResumeStore::new(dir.path().to_owned());
        let key = key(b"n", b"/p", 5, (1, 2));
        let id = store.begin(&key, UnixMs(0)).unwrap();
        let later = store.begin(&key, UnixMs(UPLOAD_LIFE_MS)).unwrap();
        assert_ne!(later, id);
        std::fs::write(store.file(&key), b"nonsense").unwrap();
        assert_ne!(store.begin(&key, UnixMs(UPLOAD_LIFE_MS)).unwrap(), later);
    }
}
