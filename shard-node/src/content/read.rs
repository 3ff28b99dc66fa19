//! Reading content chunk by chunk, each checked against its manifest and opened in its place.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_domain::{FileId, Reason, Sha256Hash, UploadId};
use holdfast_keys::FileKey;
use holdfast_store::{records::open_chunk, segments::ChunkId};
use holdfast_sys_core::{
    errors::Refusal,
    module::{CHUNK_BYTES_U64, Content, ContentId},
};

use super::{rows::FileRecord, upload::context};
use crate::{
    limits::PAGE_CHUNKS,
    machine::{ChunkRef, PageRow, file_slot, page_key},
    partition::{HomeRef, ShardGroup, refusals},
};

/// Content whose row was read.
pub(crate) struct OpenContent {
    file: FileId,
    upload: UploadId,
    key: FileKey,
    /// Bytes of the whole; they tell which chunk is the last.
    whole: u64,
    /// Bytes that can be read.
    size: u64,
    chunks: Chunks,
}

/// Where the references of the chunks are.
enum Chunks {
    /// Known: an upload under way.
    Staged(Vec<ChunkRef>),
    /// In manifest pages; the last one that was read is kept.
    Published(Mutex<Option<(u32, Arc<PageRow>)>>),
}

/// What a look for a chunk finds.
enum Found {
    Plain(Bytes),
    /// Deleted meanwhile, or not here yet.
    Hole(ChunkId),
}

impl ShardGroup {
    /// Reads a content's row. Blocks.
    pub(crate) fn open_content(&self, at: &HomeRef, id: ContentId) -> Result<OpenContent, Refusal> {
        let not_found = || Refusal::new(Reason::NotFound);
        match id {
            ContentId::Staged(upload) => {
                let record = self.upload_record(at, upload)?.ok_or_else(not_found)?;
                let FileRecord { key, fields, .. } = record;
                let chunks = self.durable_chunks(fields.file)?;
                let bytes = u64::try_from(chunks.len()).unwrap_or(u64::MAX).saturating_mul(CHUNK_BYTES_U64);
                let (file, whole) = (fields.file, fields.size);
                let (size, chunks) = (bytes.min(whole), Chunks::Staged(chunks));
                Ok(OpenContent { file, upload, key, whole, size, chunks })
            }
            ContentId::Published(file) => {
                let rows = self.rows(at)?.ok_or_else(not_found)?;
                let FileRecord { key, fields, .. } = rows.content_row(file)?.ok_or_else(not_found)?;
                let (upload, whole) = (fields.upload, fields.size);
                let chunks = Chunks::Published(Mutex::default());
                Ok(OpenContent { file, upload, key, whole, size: whole, chunks })
            }
        }
    }

    /// Blocks.
    fn read_chunk(&self, content: &OpenContent, index: u32) -> Result<Found, Refusal> {
        let not_found = || Refusal::new(Reason::NotFound);
        if u64::from(index).saturating_mul(CHUNK_BYTES_U64) >= content.size {
            return Err(not_found());
        }
        let chunk = self.chunk_of(content, index)?.ok_or_else(not_found)?;
        let Some(sealed) = refusals::segments(self.segments().read(chunk.chunk()))? else {
            return Ok(Found::Hole(chunk.chunk()));
        };
        if Sha256Hash::of(&sealed) != chunk.sha256 {
            return Err(Refusal::new(Reason::Internal)
                .because(format!("chunk {} is not the manifest's", chunk.chunk())));
        }
        let OpenContent { file, upload, key, whole, .. } = content;
        let context = context(*file, *upload, index, whole.div_ceil(CHUNK_BYTES_U64));
        open_chunk(key, &context, &sealed).map(|plain| Found::Plain(plain.into())).map_err(refusals::aead)
    }

    fn chunk_of(&self, content: &OpenContent, index: u32) -> Result<Option<ChunkRef>, Refusal> {
        let place = |index: u32| usize::try_from(index).unwrap_or(usize::MAX);
        match &content.chunks {
            Chunks::Staged(chunks) => Ok(chunks.get(place(index)).copied()),
            Chunks::Published(last) => {
                let page = self.page_of(content.file, index / PAGE_CHUNKS, last)?;
                Ok(page.and_then(|page| page.chunks.get(place(index % PAGE_CHUNKS)).copied()))
            }
        }
    }

    fn page_of(
        &self,
        file: FileId,
        number: u32,
        last: &Mutex<Option<(u32, Arc<PageRow>)>>,
    ) -> Result<Option<Arc<PageRow>>, Refusal> {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((there, page)) = &*last
            && *there == number
        {
            return Ok(Some(Arc::clone(page)));
        }
        let Some(slot) = file_slot(file) else { return Ok(None) };
        let page = self.state().read().get::<PageRow>(&page_key(slot, file, number))?.map(Arc::new);
        *last = page.clone().map(|page| (number, page));
        Ok(page)
    }
}

impl OpenContent {
    /// Ready for reading.
    pub(crate) fn over(self, shard: Arc<ShardGroup>) -> Arc<dyn Content> {
        Arc::new(HomeContent { shard, content: Arc::new(self) })
    }
}

struct HomeContent {
    shard: Arc<ShardGroup>,
    content: Arc<OpenContent>,
}

#[async_trait]
impl Content for HomeContent {
    fn size(&self) -> u64 {
        self.content.size
    }

    async fn read_chunk(&self, index: u32) -> Result<Bytes, Refusal> {
        let read = || {
            let content = Arc::clone(&self.content);
            self.shard.blocking(move |shard| shard.read_chunk(&content, index))
        };
        let hole = match read().await? {
            Found::Plain(plain) => return Ok(plain),
            Found::Hole(id) => id,
        };
        // The manifest may come before the chunks.
        self.shard.fetch_chunk(hole).await?;
        match read().await? {
            Found::Plain(plain) => Ok(plain),
            Found::Hole(id) => Err(Refusal::new(Reason::NotFound).because(format!("chunk {id} is not here"))),
        }
    }
}
