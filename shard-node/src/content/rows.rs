//! The store's own rows in a module's tablespace: uploads under way and published content, each with its file's key.
//!
//! Body: `key (32) ‖ codec(fields)`. Frozen.

use holdfast_domain::{FileId, Reason, UnixMs, UploadId, codec};
use holdfast_keys::{FileKey, Secret32};
use holdfast_store::{
    limits::MAX_BODY_BYTES,
    records::{IndexName, OpenedRecord, RowKind},
};
use holdfast_sys_core::errors::Refusal;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::partition::{Found, HomeRows, refusals};

/// Uploads under way, by upload id.
pub(super) const UPLOADS: RowKind = RowKind(0xf0);

/// Published content, by file id.
pub(super) const CONTENT: RowKind = RowKind(0xf1);

/// What every tablespace has besides the module's own rows.
pub(crate) const ROWS: &[IndexName] =
    &[IndexName { kind: UPLOADS, name: "\0uploads" }, IndexName { kind: CONTENT, name: "\0content" }];

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadFields {
    pub(super) upload: UploadId,
    pub(super) file: FileId,
    pub(super) size: u64,
    pub(super) tag: Vec<u8>,
    pub(super) expires: UnixMs,
}

/// Published content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContentFields {
    pub(super) upload: UploadId,
    pub(super) size: u64,
}

/// A row that was found.
pub(super) struct FileRecord<T> {
    pub(super) found: Found,
    pub(super) key: FileKey,
    pub(super) fields: T,
}

impl HomeRows<'_> {
    pub(super) fn upload_row(&self, id: UploadId) -> Result<Option<FileRecord<UploadFields>>, Refusal> {
        self.file_record(UPLOADS, id.as_bytes())
    }

    pub(super) fn content_row(&self, id: FileId) -> Result<Option<FileRecord<ContentFields>>, Refusal> {
        self.file_record(CONTENT, id.as_bytes())
    }

    fn file_record<T: DeserializeOwned>(
        &self,
        kind: RowKind,
        id: &[u8; 16],
    ) -> Result<Option<FileRecord<T>>, Refusal> {
        let found = self.get(kind, &[id])?;
        found.map(|(found, opened)| open_body(found, opened)).transpose()
    }
}

pub(super) fn open_body<T: DeserializeOwned>(
    found: Found,
    opened: OpenedRecord,
) -> Result<FileRecord<T>, Refusal> {
    let body = Zeroizing::new(opened.body);
    let damaged = || Refusal::new(Reason::Internal).because("a row of the store is malformed");
    let (key, fields) = body.split_at_checked(32).ok_or_else(damaged)?;
    let key = FileKey::from_secret(Secret32::from_slice(key).map_err(|_| damaged())?);
    let fields = codec::decode(fields, MAX_BODY_BYTES).map_err(|_| damaged())?;
    Ok(FileRecord { found, key, fields })
}

pub(super) fn body<T: Serialize>(key: &FileKey, fields: &T) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let fields = codec::encode(fields).map_err(refusals::codec)?;
    // Reserved in full, so that growing leaves no copy of the key behind.
    let mut body = Zeroizing::new(Vec::with_capacity(32 + fields.len()));
    body.extend_from_slice(key.expose_for_wrapping());
    body.extend_from_slice(&fields);
    Ok(body)
}

/// What segments call a file's chunks.
pub(crate) fn segment_upload(file: FileId) -> UploadId {
    UploadId::new(*file.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_bodies_never_change() {
        let key = FileKey::from_bytes([1; 32]);
        let upload = UploadFields {
            upload: UploadId::new([2; 16]),
            file: FileId::new([3; 16]),
            size: 300,
            tag: vec![4, 5],
            expires: UnixMs(300),
        };
        let content = ContentFields { upload: upload.upload, size: 300 };
        let hex = |body: Zeroizing<Vec<u8>>| hex::encode(&*body);
        let (key_hex, two, three) = ("01".repeat(32), "02".repeat(16), "03".repeat(16));
        assert_eq!(hex(body(&key, &upload).unwrap()), format!("{key_hex}01{two}{three}ac02020405ac02"));
        assert_eq!(hex(body(&key, &content).unwrap()), format!("{key_hex}01{two}ac02"));
    }
}
