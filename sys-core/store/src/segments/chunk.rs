//! What is known of a chunk without reading it.

use holdfast_domain::{Sha256Hash, UnixMs, UploadId};

/// Names one stored chunk; random, made by who sealed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 16]);

impl std::fmt::Display for ChunkId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether a manifest holds on to a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkState {
    /// Uploaded, not yet committed: expires.
    Staged,
    /// Part of committed content.
    Live,
}

/// A chunk to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewChunk {
    /// Its name.
    pub id: ChunkId,
    /// The upload it belongs to.
    pub upload: UploadId,
    /// Its place in the upload.
    pub index: u32,
    /// `Staged` for uploads, `Live` for a hole that is filled in committed content.
    pub state: ChunkState,
    /// When it came, for expiry.
    pub staged_at: UnixMs,
}

/// A stored chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkInfo {
    /// Its name.
    pub id: ChunkId,
    /// The upload it belongs to.
    pub upload: UploadId,
    /// Its place in the upload.
    pub index: u32,
    /// Whether a manifest holds on to it.
    pub state: ChunkState,
    /// When it came.
    pub staged_at: UnixMs,
    /// Length of the sealed bytes.
    pub len: u32,
    /// SHA-256 of the sealed bytes.
    pub sha256: Sha256Hash,
}
