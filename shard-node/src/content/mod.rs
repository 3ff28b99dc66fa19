//! Large content: sealed chunks in segments, manifests in the machine.

use bytes::Bytes;
use holdfast_domain::UploadId;
use holdfast_store::segments::ChunkId;
use holdfast_sys_core::errors::Refusal;

use crate::partition::ShardGroup;

/// A sealed chunk on its way to another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// Its id.
    pub id: ChunkId,
    /// What segments call its upload: the file id.
    pub upload: UploadId,
    /// Its place.
    pub index: u32,
    /// Its bytes.
    pub sealed: Bytes,
}

impl ShardGroup {
    /// Chunks that manifests name and this replica lacks, at most `limit`. None is promoted with holes.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn missing_chunks(&self, limit: usize) -> Result<Vec<ChunkId>, Refusal> {
        todo!()
    }

    /// Ids of all chunks that manifests name, page by page; `None` at the end.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn export_chunk(&self, id: ChunkId) -> Result<Option<SealedChunk>, Refusal> {
        todo!()
    }

    /// Takes a chunk from another replica if a manifest names exactly it; durable after [`Self::sync_chunks`].
    ///
    /// # Errors
    /// `HashMismatch` for a chunk that no manifest names or whose bytes are others; storage errors.
    pub async fn import_chunk(&self, chunk: SealedChunk) -> Result<(), Refusal> {
        todo!()
    }

    /// Makes imported chunks durable.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn sync_chunks(&self) -> Result<(), Refusal> {
        todo!()
    }
}
