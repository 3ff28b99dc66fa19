//! Files: which chunks a group holds on to. Only the partition that began a file touches it.
//!
//! `begin → pages → live → dead → pages dropped → forgotten`; a staged file may die as well.

use holdfast_domain::{FileId, UnixMs};

use super::{
    super::{
        Batch, Blob, ChunkRef, Outcome, Table, layout,
        rows::{FileRow, FileState, PageRow},
    },
    Applying, Refused, refuse,
};

impl Applying<'_> {
    pub(super) fn begin_file(
        &mut self,
        batch: &Batch,
        file: FileId,
        expires: UnixMs,
        upload_row: Blob,
    ) -> Result<(), Refused> {
        let key = layout::file(batch.slot, file);
        if self.txn.get_raw(Table::Files, &key)?.is_some() {
            return refuse(Outcome::Conflict);
        }
        let state = FileState::Staged { expires, upload_row };
        Ok(self.txn.put(&key, &FileRow { partition: batch.partition, state })?)
    }

    pub(super) fn put_page(
        &mut self,
        batch: &Batch,
        file: FileId,
        page: u32,
        chunks: &[ChunkRef],
    ) -> Result<(), Refused> {
        match self.file(batch, file)? {
            Some(FileState::Staged { .. }) => {}
            _ => return refuse(Outcome::Conflict),
        }
        let row = PageRow { chunks: chunks.to_vec() };
        Ok(self.txn.put(&layout::page(batch.slot, file, page), &row)?)
    }

    pub(super) fn live_file(&mut self, batch: &Batch, file: FileId, chunks: u32) -> Result<(), Refused> {
        match self.file(batch, file)? {
            Some(FileState::Staged { .. }) => {
                self.published.push((batch.slot, file));
                self.set_file(batch, file, FileState::Live { chunks })
            }
            _ => refuse(Outcome::Conflict),
        }
    }

    pub(super) fn dead_file(&mut self, batch: &Batch, file: FileId) -> Result<(), Refused> {
        match self.file(batch, file)? {
            Some(FileState::Staged { .. } | FileState::Live { .. }) => {
                self.set_file(batch, file, FileState::Dead)
            }
            Some(FileState::Dead) | None => Ok(()),
        }
    }

    pub(super) fn drop_pages(&mut self, batch: &Batch, file: FileId, pages: &[u32]) -> Result<(), Refused> {
        self.dead(batch, file)?;
        for page in pages {
            self.txn.delete(Table::Pages, &layout::page(batch.slot, file, *page));
        }
        Ok(())
    }

    pub(super) fn forget_file(&mut self, batch: &Batch, file: FileId) -> Result<(), Refused> {
        self.dead(batch, file)?;
        self.txn.delete(Table::Files, &layout::file(batch.slot, file));
        Ok(())
    }

    fn dead(&self, batch: &Batch, file: FileId) -> Result<(), Refused> {
        match self.file(batch, file)? {
            Some(FileState::Dead) => Ok(()),
            _ => refuse(Outcome::Conflict),
        }
    }

    fn set_file(&mut self, batch: &Batch, file: FileId, state: FileState) -> Result<(), Refused> {
        let row = FileRow { partition: batch.partition, state };
        Ok(self.txn.put(&layout::file(batch.slot, file), &row)?)
    }

    /// The batch's own file.
    fn file(&self, batch: &Batch, file: FileId) -> Result<Option<FileState>, Refused> {
        match self.txn.get::<FileRow>(&layout::file(batch.slot, file))? {
            Some(row) if row.partition != batch.partition => refuse(Outcome::Conflict),
            row => Ok(row.map(|row| row.state)),
        }
    }
}
