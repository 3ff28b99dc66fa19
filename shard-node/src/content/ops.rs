//! Operations on uploads and content, as parts of a command.

use holdfast_domain::{CommandId, FileId, Reason, UploadId};
use holdfast_keys::{FileKey, random_array};
use holdfast_sys_core::{
    errors::Refusal,
    limits::MAX_UPLOADS,
    module::{CHUNK_BYTES_U64, MAX_UPLOAD_TAG_BYTES, UPLOAD_TTL_MS, UploadSpec},
};

use super::rows::{CONTENT, ContentFields, FileRecord, UPLOADS, UploadFields, body};
use crate::{
    limits::{INLINE_PAGES, MAX_CONTENT_BYTES, PAGE_CHUNKS, PAGES_PER_COMMAND},
    machine::{Batch, ChunkRef, Op, StateError},
    partition::{Deciding, Stop},
};

impl Deciding<'_> {
    pub(crate) fn begin_upload(&mut self, spec: &UploadSpec) -> Result<(), Stop> {
        let UploadSpec { upload, size, tag } = spec;
        if tag.len() > MAX_UPLOAD_TAG_BYTES || *size > MAX_CONTENT_BYTES {
            return Err(Refusal::new(Reason::Malformed).because("the upload is too large").into());
        }
        self.take_upload_id(*upload)?;
        if self.rows.upload_rows()?.len() >= MAX_UPLOADS {
            return Err(Refusal::new(Reason::Overloaded).because("too many uploads in this home").into());
        }
        let file = self.draw_file()?;
        let key = FileKey::generate().map_err(StateError::from)?;
        let expires = self.now.plus_ms(UPLOAD_TTL_MS);
        let fields = UploadFields { upload: *upload, file, size: *size, tag: tag.clone(), expires };
        self.put(UPLOADS, &[upload.as_bytes()], &body(&key, &fields)?)?;
        let upload_row = self.key(UPLOADS, &[upload.as_bytes()])?;
        self.batch.ops.push(Op::BeginFile { file, expires, upload_row });
        Ok(())
    }

    /// The id must be free, or that of an upload that has expired and was not swept yet: this command then does so.
    fn take_upload_id(&mut self, upload: UploadId) -> Result<(), Stop> {
        match self.rows.upload_row(upload)? {
            None => self.require_absent(UPLOADS, &[upload.as_bytes()]),
            Some(FileRecord { found, fields, .. }) if fields.expires <= self.now => {
                self.require(&found);
                self.batch.ops.push(Op::DeadFile { file: fields.file });
                Ok(())
            }
            Some(_) => Err(Stop::Conflict),
        }
    }

    /// A file id begins with its slot, so that a chunk leads to its file's row.
    fn draw_file(&self) -> Result<FileId, Stop> {
        let mut id = random_array::<16>().map_err(StateError::from)?;
        id.iter_mut().zip(self.batch.slot.number().to_be_bytes()).for_each(|(to, from)| *to = from);
        Ok(FileId::new(id))
    }

    pub(crate) fn publish_upload(&mut self, upload: UploadId) -> Result<(), Stop> {
        let record = self.rows.upload_row(upload)?.filter(|record| record.fields.expires > self.now);
        let Some(FileRecord { found, key, fields }) = record else { return Err(Stop::Conflict) };
        let chunks = self.shard.durable_chunks(fields.file)?;
        let expected = fields.size.div_ceil(CHUNK_BYTES_U64);
        let count = u32::try_from(chunks.len()).map_err(|_| Stop::Conflict)?;
        if u64::from(count) != expected {
            return Err(Stop::Conflict);
        }
        self.shard.require_spread(fields.file, chunks.len())?;
        self.require(&found);
        self.delete(UPLOADS, &[upload.as_bytes()])?;
        self.put_pages(fields.file, &chunks)?;
        self.batch.ops.push(Op::LiveFile { file: fields.file, chunks: count });
        let content = ContentFields { upload, size: fields.size };
        self.put(CONTENT, &[fields.file.as_bytes()], &body(&key, &content)?)
    }

    /// Pages in the command itself, or ahead of it when there are many: nobody looks at pages of a file that is not live.
    fn put_pages(&mut self, file: FileId, chunks: &[ChunkRef]) -> Result<(), Stop> {
        let per_page = usize::try_from(PAGE_CHUNKS).unwrap_or(usize::MAX);
        let pages = (0u32..).zip(chunks.chunks(per_page));
        let mut ops: Vec<_> =
            pages.map(|(page, chunks)| Op::PutPage { file, page, chunks: chunks.to_vec() }).collect();
        if ops.len() <= INLINE_PAGES {
            self.batch.ops.append(&mut ops);
            return Ok(());
        }
        while !ops.is_empty() {
            let rest = ops.split_off(ops.len().min(PAGES_PER_COMMAND));
            let id = CommandId::new(random_array().map_err(StateError::from)?);
            let ops = std::mem::replace(&mut ops, rest);
            self.ahead.push(Batch { id, preconditions: Vec::new(), ops, ..self.batch.clone() });
        }
        Ok(())
    }

    pub(crate) fn drop_upload(&mut self, upload: UploadId) -> Result<(), Stop> {
        let Some(FileRecord { found, fields, .. }) = self.rows.upload_row(upload)? else { return Ok(()) };
        self.require(&found);
        self.delete(UPLOADS, &[upload.as_bytes()])?;
        self.batch.ops.push(Op::DeadFile { file: fields.file });
        Ok(())
    }

    pub(crate) fn drop_content(&mut self, file: FileId) -> Result<(), Stop> {
        let Some(FileRecord { found, .. }) = self.rows.content_row(file)? else { return Ok(()) };
        self.require(&found);
        self.delete(CONTENT, &[file.as_bytes()])?;
        self.batch.ops.push(Op::DeadFile { file });
        Ok(())
    }
}
