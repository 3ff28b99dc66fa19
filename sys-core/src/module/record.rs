//! Records of a partition, and the commands that change them.

use holdfast_domain::UploadId;

use super::{RecordKey, UploadSpec};

/// What a compare-and-set compares: opaque to modules.
///
/// The tag is not decoration: a leader that evaluated too early reuses version numbers, and only the tag tells the two rows apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowVersion {
    /// The record's version.
    pub version: u64,
    /// First 8 bytes of the AEAD tag of its stored form.
    pub etag: [u8; 8],
}

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub key: RecordKey,
    /// Its plain value, at most [`limits::MAX_VALUE_BYTES`](crate::limits::MAX_VALUE_BYTES).
    pub value: Vec<u8>,
    /// For [`Precondition::Is`].
    pub version: RowVersion,
}

/// Where a listing goes on: bytes that only the node that made them understands, bound to the caller and the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// One page of a listing. The order is the store's, stable but not the names'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The rows; may be fewer than asked for, even none, when there is a `next`.
    pub rows: Vec<Row>,
    /// `None` at the end.
    pub next: Option<Cursor>,
}

/// What must hold when a command is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// The record is exactly what was read.
    Is(RecordKey, RowVersion),
    /// There is no such record.
    Absent(RecordKey),
}

/// One change of a command. All changes of a command happen together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes a record.
    Put {
        /// Its name.
        key: RecordKey,
        /// Its new value, at most [`limits::MAX_VALUE_BYTES`](crate::limits::MAX_VALUE_BYTES).
        value: Vec<u8>,
    },
    /// Deletes a record; nothing happens when there is none.
    Delete(RecordKey),
    /// Begins an upload: the store draws its file id and key. Conflict when this upload id is in use.
    BeginUpload(UploadSpec),
    /// Turns an upload whose chunks are all durable into content under its file id and ends the upload.
    /// Conflict when the upload is gone or incomplete.
    PublishUpload(UploadId),
    /// Ends an upload and gives up its chunks; nothing happens when it is gone.
    DropUpload(UploadId),
    /// Deletes published content; nothing happens when it is gone.
    DropContent(holdfast_domain::FileId),
}

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// Applied now, and durable.
    Applied,
    /// The same command id was applied before; nothing happened now.
    Duplicate,
    /// A precondition did not hold: read again and try again.
    Conflict,
}
