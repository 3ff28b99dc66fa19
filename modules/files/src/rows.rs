//! The values of this module's records.

use holdfast_domain::{FileId, Reason, Sha256Hash, UnixMs, UploadId, codec};
use holdfast_files_api::v1::FileInfo;
use holdfast_sys_core::{
    Refusal,
    limits::MAX_VALUE_BYTES,
    module::{MAX_UPLOAD_TAG_BYTES, Partition, RecordKey, Row, RowVersion},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::name::FileName;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRow {
    pub(crate) name: FileName,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Hash,
    pub(crate) modified: UnixMs,
    pub(crate) body: Body,
}

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Body {
    /// In the record itself. Written as one run: byte by byte is the same form and ten times the work.
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In chunks.
    Chunks(FileId),
}

/// What an upload will be, kept with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadTag {
    pub(crate) name: FileName,
}

/// An upload that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoneRow {
    pub(crate) upload: UploadId,
    pub(crate) name: FileName,
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Hash,
    pub(crate) modified: UnixMs,
}

impl FileRow {
    pub(crate) fn info(self) -> FileInfo {
        self.parts().0
    }

    /// What is told of it, and where its bytes are.
    pub(crate) fn parts(self) -> (FileInfo, Body) {
        let Self { name, size, sha256, modified, body } = self;
        (info(&name, size, sha256, modified), body)
    }

    /// The file of this name and its record's version.
    pub(crate) async fn read(
        partition: &dyn Partition,
        name: &FileName,
    ) -> Result<Option<(Self, RowVersion)>, Refusal> {
        let Some(Row { value, version, .. }) = partition.get(&name.key()?).await? else { return Ok(None) };
        let row: Self = decode(&value)?;
        if row.name == *name {
            Ok(Some((row, version)))
        } else {
            Err(Refusal::new(Reason::Internal).because("a file's record holds another name"))
        }
    }
}

impl DoneRow {
    pub(crate) fn info(self) -> FileInfo {
        let Self { upload: _, name, size, sha256, modified } = self;
        info(&name, size, sha256, modified)
    }

    /// The ring's place for the `count`-th finished upload.
    pub(crate) fn key(count: u32) -> Result<RecordKey, Refusal> {
        let place = (count % crate::limits::DONE_RING).to_be_bytes();
        key([b"d".to_vec(), place.to_vec()])
    }

    /// What is above all places of the ring.
    pub(crate) fn ring() -> Result<RecordKey, Refusal> {
        key([b"d".to_vec()])
    }
}

fn info(name: &FileName, size: u64, sha256: Sha256Hash, modified: UnixMs) -> FileInfo {
    FileInfo {
        name: name.as_bytes().to_vec().into(),
        size,
        sha256: sha256.as_bytes().to_vec().into(),
        modified_ms: modified.0,
    }
}

pub(crate) fn key<const N: usize>(components: [Vec<u8>; N]) -> Result<RecordKey, Refusal> {
    RecordKey::new(components).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Refusal> {
    codec::encode(value).map_err(|error| Refusal::new(Reason::Internal).because(error))
}

/// Decodes what this module stored; anything else is a fault of ours or of the disk.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    codec::decode(bytes, MAX_VALUE_BYTES.max(MAX_UPLOAD_TAG_BYTES))
        .map_err(|error| Refusal::new(Reason::Internal).because(error))
}
