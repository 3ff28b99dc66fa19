//! Uploads under way: what is durable of them, and their chunks as they come.

use bytes::Bytes;
use holdfast_domain::{Reason, Sha256Hash, UploadId};
use holdfast_keys::{FileKey, random_array};
use holdfast_store::{
    KeyRange, ScanLimit,
    records::{ChunkContext, ChunkPosition, RecordError, RecordKey, StoredRecord, open_chunk, seal_chunk},
    segments::{ChunkId, ChunkState, NewChunk},
};
use holdfast_sys_core::{
    errors::Refusal,
    limits::MAX_UPLOADS,
    module::{CHUNK_BYTES_U64, Upload},
};

use super::{
    SealedChunk,
    rows::{self, FileRecord, UploadFields, segment_upload},
};
use crate::{
    limits::CONTENT_HEADROOM_BYTES,
    machine::{ChunkRef, StateError, Table},
    partition::{Found, HomeRef, HomeRows, ShardGroup, refusals},
};

impl ShardGroup {
    /// An upload that has not expired. Blocks.
    pub(crate) fn upload(&self, at: &HomeRef, id: UploadId) -> Result<Option<Upload>, Refusal> {
        let record = self.upload_record(at, id)?;
        record.map(|record| self.progress(record.fields)).transpose()
    }

    /// All uploads of a home and module. Blocks.
    pub(crate) fn uploads(&self, at: &HomeRef) -> Result<Vec<Upload>, Refusal> {
        let Some(rows) = self.rows(at)? else { return Ok(Vec::new()) };
        let records = rows.upload_rows()?;
        drop(rows);
        records.into_iter().map(|record| self.progress(record.fields)).collect()
    }

    pub(super) fn upload_record(
        &self,
        at: &HomeRef,
        id: UploadId,
    ) -> Result<Option<FileRecord<UploadFields>>, Refusal> {
        let Some(rows) = self.rows(at)? else { return Ok(None) };
        let now = self.clock().now();
        Ok(rows.upload_row(id)?.filter(|record| record.fields.expires > now))
    }

    fn progress(&self, fields: UploadFields) -> Result<Upload, Refusal> {
        let UploadFields { upload, file, size, tag, expires } = fields;
        let chunks = self.durable_chunks(file)?.len();
        let bytes = u64::try_from(chunks).unwrap_or(u64::MAX).saturating_mul(CHUNK_BYTES_U64);
        Ok(Upload { upload, file, size, durable_bytes: bytes.min(size), tag, expires })
    }

    /// The chunks of an upload from the start without a hole, all durable.
    pub(super) fn durable_chunks(&self, file: holdfast_domain::FileId) -> Result<Vec<ChunkRef>, Refusal> {
        let chunks = self.staged.of(file, self.segments()).without_holes();
        // What was appended a moment ago may not be durable yet.
        refusals::segments(self.segments().sync_all())?;
        Ok(chunks)
    }

    /// Stores a chunk durably, at a majority of the replicas.
    pub(crate) async fn put_chunk(
        &self,
        at: HomeRef,
        id: UploadId,
        index: u32,
        data: Bytes,
    ) -> Result<(), Refusal> {
        let chunk = self.blocking(move |shard| shard.append_chunk(&at, id, index, &data)).await?;
        self.spread_chunk(chunk).await
    }

    /// Seals a chunk and appends it, or finds the one that came before. Not durable yet. Blocks.
    fn append_chunk(
        &self,
        at: &HomeRef,
        id: UploadId,
        index: u32,
        data: &[u8],
    ) -> Result<SealedChunk, Refusal> {
        let Some(FileRecord { key, fields, .. }) = self.upload_record(at, id)? else {
            return Err(Refusal::new(Reason::UploadUnknown));
        };
        let context = place(&fields, index, data.len())?;
        let upload = segment_upload(fields.file);
        let staged = self.staged.of(fields.file, self.segments());
        let mut chunks = staged.chunks();
        if let Some(there) = chunks.get(&index).copied() {
            drop(chunks);
            let sealed = self.check_same(&key, &context, there, data)?;
            return Ok(SealedChunk { id: there.chunk(), upload, index, sealed });
        }
        refusals::segments(self.segments().require_room(CONTENT_HEADROOM_BYTES))?;
        let sealed = Bytes::from(seal_chunk(&key, &context, data).map_err(refusals::aead)?);
        let chunk = NewChunk {
            id: ChunkId(random_array().map_err(StateError::from)?),
            upload,
            index,
            state: ChunkState::Staged,
            staged_at: self.clock().now(),
        };
        refusals::segments(self.segments().append(&chunk, &sealed))?;
        let len = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        chunks.insert(index, ChunkRef { id: chunk.id.0, len, sha256: Sha256Hash::of(&sealed) });
        Ok(SealedChunk { id: chunk.id, upload, index, sealed })
    }

    /// A chunk that came before must be the same: content never changes under an upload.
    fn check_same(
        &self,
        key: &FileKey,
        context: &ChunkContext,
        there: ChunkRef,
        data: &[u8],
    ) -> Result<Bytes, Refusal> {
        let sealed = refusals::segments(self.segments().read(there.chunk()))?;
        let is_same = |sealed: &Bytes| open_chunk(key, context, sealed).is_ok_and(|plain| plain == data);
        let other = || Refusal::new(Reason::Conflict).because("another chunk was sent for this place");
        sealed.filter(is_same).ok_or_else(other)
    }
}

impl HomeRows<'_> {
    /// Every upload of the home and module.
    pub(super) fn upload_rows(&self) -> Result<Vec<FileRecord<UploadFields>>, Refusal> {
        let range: KeyRange = self.codec().scope(rows::UPLOADS).range();
        let page = self.reader.scan(Table::Records, &range, ScanLimit::rows(MAX_UPLOADS + 1))?;
        let open = |row: holdfast_store::Row| {
            let found = Found { key: RecordKey::parse(row.key)?, stored: StoredRecord::parse(row.value)? };
            let opened = self.codec().open(&found.key, &found.stored)?;
            Ok((found, opened))
        };
        let opened =
            page.rows.into_iter().map(|row| open(row).map_err(|error: RecordError| refusals::record(error)));
        opened.map(|row| row.and_then(|(found, opened)| rows::open_body(found, opened))).collect()
    }
}

/// Where a chunk stands; refuses a place or a length that does not fit the declared size.
fn place(fields: &UploadFields, index: u32, len: usize) -> Result<ChunkContext, Refusal> {
    let chunks = fields.size.div_ceil(CHUNK_BYTES_U64);
    let index_wide = u64::from(index);
    let begin = index_wide.saturating_mul(CHUNK_BYTES_U64);
    let expected = fields.size.saturating_sub(begin).min(CHUNK_BYTES_U64);
    if index_wide >= chunks || u64::try_from(len) != Ok(expected) {
        return Err(Refusal::new(Reason::Malformed).because("a chunk does not fit the upload's size"));
    }
    Ok(context(fields.file, fields.upload, index, chunks))
}

pub(super) fn context(
    file: holdfast_domain::FileId,
    upload: UploadId,
    index: u32,
    chunks: u64,
) -> ChunkContext {
    let last = u64::from(index).saturating_add(1) == chunks;
    let position = if last { ChunkPosition::Last } else { ChunkPosition::Inner };
    ChunkContext { file, upload, index, position }
}
