//! The one door to a home's data.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{CommandId, HomeId, UnixMs, UploadId};

use super::{
    CommitOutcome, Content, ContentId, Cursor, Op, Page, Precondition, RecordKey, Row, Scan, Upload,
};
use crate::errors::Refusal;

/// One home's part of one module's tablespace. Reads and commits are linearizable; listings are so page by page.
///
/// Any call may be refused with `NoQuorum`, `StaleMap`, `WrongGroup`, `Overloaded` or `DiskFull`: the module passes these on.
#[async_trait]
pub trait Partition: Send + Sync {
    /// Whose data this is.
    fn home(&self) -> HomeId;

    /// Bytes that the home may store.
    fn quota_bytes(&self) -> u64;

    /// The clock that stamps this home's records.
    fn now(&self) -> UnixMs;

    /// One record.
    ///
    /// # Errors
    /// The store's refusals; a record that does not exist is `None`.
    async fn get(&self, key: &RecordKey) -> Result<Option<Row>, Refusal>;

    /// One record, for a change that is committed on condition of what was read: what this node knows now, without asking anybody. Others may
    /// be ahead of it, and what it knows may yet fail to come about; then the commit is a conflict. Nothing else may follow from it.
    ///
    /// # Errors
    /// Those of [`Self::get`].
    async fn get_to_change(&self, key: &RecordKey) -> Result<Option<Row>, Refusal> {
        self.get(key).await
    }

    /// Records under a prefix, at most `limit` a page (the store may give fewer).
    ///
    /// # Errors
    /// `Malformed` for a cursor of another caller or listing, and the store's refusals.
    async fn list(&self, prefix: &RecordKey, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal> {
        self.scan(&Scan::all(prefix.clone()), cursor, limit).await
    }

    /// Records that a scan selects, at most `limit` a page (the store may give fewer) and at most
    /// [`limits::MAX_SCAN_VISITS`](crate::limits::MAX_SCAN_VISITS) visited for it.
    ///
    /// # Errors
    /// `Malformed` for a cursor of another caller or scan, the selection's refusals and the store's.
    async fn scan(&self, scan: &Scan, cursor: Option<&Cursor>, limit: usize) -> Result<Page, Refusal>;

    /// Whether a command with this id was applied within the last 24 h.
    ///
    /// # Errors
    /// The store's refusals.
    async fn seen(&self, command: CommandId) -> Result<bool, Refusal>;

    /// Applies all of `ops` if all of `preconditions` hold; returns when that is durable on a majority.
    /// An id that was applied before is a `Duplicate`, whatever the preconditions say.
    ///
    /// # Errors
    /// After `NoQuorum` the command may or may not be applied later: retry with the same id.
    async fn commit(
        &self,
        command: CommandId,
        preconditions: Vec<Precondition>,
        ops: Vec<Op>,
    ) -> Result<CommitOutcome, Refusal>;

    /// An upload under way, not expired.
    ///
    /// # Errors
    /// The store's refusals.
    async fn upload(&self, upload: UploadId) -> Result<Option<Upload>, Refusal>;

    /// All uploads of this home and module, expired ones included until they are swept; at most
    /// [`limits::MAX_UPLOADS`](crate::limits::MAX_UPLOADS).
    ///
    /// # Errors
    /// The store's refusals.
    async fn uploads(&self) -> Result<Vec<Upload>, Refusal>;

    /// Stores chunk `index` of an upload; returns when a majority holds it durably. Chunks may come in any order and again.
    ///
    /// # Errors
    /// `UploadUnknown` when the upload is gone, `Malformed` when the index or the length does not fit its size.
    async fn put_chunk(&self, upload: UploadId, index: u32, data: Bytes) -> Result<(), Refusal>;

    /// Opens content for reading.
    ///
    /// # Errors
    /// `NotFound` when there is none, and the store's refusals.
    async fn open(&self, content: ContentId) -> Result<Arc<dyn Content>, Refusal>;
}
