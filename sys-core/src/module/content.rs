//! Large content: chunks under a random per-file key that the store draws, keeps and never shows.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{FileId, UnixMs, UploadId};

use crate::errors::Refusal;

/// Plain bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// [`CHUNK_BYTES`] as sizes of files are counted.
pub const CHUNK_BYTES_U64: u64 = 256 * 1024;

/// Longest tag of an upload: a name of 4,096 bytes and what goes with it.
pub const MAX_UPLOAD_TAG_BYTES: usize = 8 * 1024;

/// An upload that is not published this long after it began is dropped, chunks and all.
pub const UPLOAD_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// What a module declares when it begins an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadSpec {
    /// Chosen by the client; resumes by it.
    pub upload: UploadId,
    /// Bytes that will come.
    pub size: u64,
    /// The module's own note, stored sealed; at most [`MAX_UPLOAD_TAG_BYTES`].
    pub tag: Vec<u8>,
}

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub upload: UploadId,
    /// The id that its content has, now and once it is published.
    pub file: FileId,
    /// Declared bytes.
    pub size: u64,
    /// Bytes from the start without a hole that a majority of replicas hold durably: a multiple of [`CHUNK_BYTES`], or `size`.
    pub durable_bytes: u64,
    /// The module's note.
    pub tag: Vec<u8>,
    /// When it is dropped.
    pub expires: UnixMs,
}

impl Upload {
    /// Number of chunks of the whole content.
    pub const fn chunks(&self) -> u64 {
        self.size.div_ceil(CHUNK_BYTES_U64)
    }
}

/// Which content to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContentId {
    /// The durable chunks of an upload under way, up to its `durable_bytes`.
    Staged(UploadId),
    /// Published content.
    Published(FileId),
}

/// Open content: header and key were looked up once, chunks are read one by one.
#[async_trait]
pub trait Content: Send + Sync {
    /// Bytes that can be read.
    fn size(&self) -> u64;

    /// One chunk, opened and checked: [`CHUNK_BYTES`] of it, the last one less.
    ///
    /// # Errors
    /// `NotFound` past the end or when the content was deleted meanwhile, and the store's refusals.
    async fn read_chunk(&self, index: u32) -> Result<Bytes, Refusal>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_chunk_sizes_are_one() {
        assert_eq!(u64::try_from(CHUNK_BYTES), Ok(CHUNK_BYTES_U64));
    }
}
