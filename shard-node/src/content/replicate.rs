//! Chunks on their way to another replica: sealed as they are, so that nothing on the way can open them.

use bytes::Bytes;
use holdfast_domain::{FileId, Reason, Sha256Hash, UploadId};
use holdfast_store::segments::{ChunkId, ChunkState, NewChunk};
use holdfast_sys_core::errors::Refusal;

use super::rows::segment_upload;
use crate::{
    limits::PAGE_CHUNKS,
    machine::{FileRow, FileState, PageRow, file_key, file_slot, page_key},
    partition::{ShardGroup, refusals},
};

/// A sealed chunk on its way to another replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    /// Its id.
    pub id: ChunkId,
    /// What segments call its upload: the file's id.
    pub upload: UploadId,
    /// Its place.
    pub index: u32,
    /// Its bytes.
    pub sealed: Bytes,
}

impl ShardGroup {
    /// Every chunk of this replica, those of uploads under way included.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn chunk_ids(&self) -> Result<Vec<ChunkId>, Refusal> {
        self.blocking(|shard| {
            let uploads = shard.segments().uploads();
            Ok(uploads
                .into_iter()
                .flat_map(|upload| shard.segments().chunks_of(upload))
                .map(|chunk| chunk.id)
                .collect())
        })
        .await
    }

    /// A chunk of this replica, for a replica that lacks it; `None` if it is not here.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn export_chunk(&self, id: ChunkId) -> Result<Option<SealedChunk>, Refusal> {
        self.blocking(move |shard| {
            let Some(info) = shard.segments().info(id) else { return Ok(None) };
            let sealed = refusals::segments(shard.segments().read(id))?;
            Ok(sealed.map(|sealed| SealedChunk { id, upload: info.upload, index: info.index, sealed }))
        })
        .await
    }

    /// Takes a chunk from another replica if it belongs to an upload under way, or a manifest names exactly it. Durable after
    /// [`Self::sync_chunks`].
    ///
    /// # Errors
    /// `HashMismatch` for any other chunk; storage errors.
    pub async fn import_chunk(&self, chunk: SealedChunk) -> Result<(), Refusal> {
        self.blocking(move |shard| shard.import(&chunk)).await
    }

    /// Which of these chunks this replica does not hold durably.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn lacked_chunks(&self, ids: Vec<ChunkId>) -> Result<Vec<ChunkId>, Refusal> {
        self.blocking(move |shard| {
            let lacked = ids.into_iter().filter(|id| shard.segments().info(*id).is_none()).collect();
            refusals::segments(shard.segments().sync_all())?;
            Ok(lacked)
        })
        .await
    }

    /// Makes imported chunks durable.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn sync_chunks(&self) -> Result<(), Refusal> {
        self.blocking(|shard| refusals::segments(shard.segments().sync_all())).await
    }

    fn import(&self, chunk: &SealedChunk) -> Result<(), Refusal> {
        let file = FileId::new(*chunk.upload.as_bytes());
        let Some(state) = self.wanted_state(file, chunk)? else {
            return Err(
                Refusal::new(Reason::HashMismatch).because(format!("nothing names chunk {}", chunk.id))
            );
        };
        let new = NewChunk {
            id: chunk.id,
            upload: segment_upload(file),
            index: chunk.index,
            state,
            staged_at: self.clock().now(),
        };
        self.staged.forget(file);
        refusals::segments(self.segments().append(&new, &chunk.sealed)).map(drop)
    }

    /// As what a chunk is wanted; `None` if it is not.
    fn wanted_state(&self, file: FileId, chunk: &SealedChunk) -> Result<Option<ChunkState>, Refusal> {
        let Some(slot) = file_slot(file) else { return Ok(None) };
        let reader = self.state().read();
        match reader.get::<FileRow>(&file_key(slot, file))?.map(|row| row.state) {
            Some(FileState::Staged { .. }) => Ok(Some(ChunkState::Staged)),
            Some(FileState::Live { .. }) => {
                let page = reader.get::<PageRow>(&page_key(slot, file, chunk.index / PAGE_CHUNKS))?;
                let place = usize::try_from(chunk.index % PAGE_CHUNKS).unwrap_or(usize::MAX);
                let named = page.and_then(|page| page.chunks.get(place).copied());
                let is_named = |named: crate::machine::ChunkRef| {
                    named.chunk() == chunk.id && named.sha256 == Sha256Hash::of(&chunk.sealed)
                };
                Ok(named.is_some_and(is_named).then_some(ChunkState::Live))
            }
            Some(FileState::Dead) | None => Ok(None),
        }
    }
}
