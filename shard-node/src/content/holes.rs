//! Chunks that manifests name and this replica lacks.
//!
//! Looked for once in all manifests, and from then on in those of files that the log publishes.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use holdfast_domain::{FileId, Slot};
use holdfast_store::{KeyRange, ScanLimit, segments::ChunkId};
use holdfast_sys_core::errors::Refusal;

use crate::{
    limits::{MAX_HOLES, MAX_NEWS},
    machine::{
        ChunkRef, FileRow, FileState, PageRow, Row as _, StateError, Table, file_key, page_key, page_of,
    },
    partition::ShardGroup,
};

/// Files that were published since somebody looked; kept by the state, which hears of them first.
pub(crate) struct News(Mutex<Published>);

#[derive(Default)]
struct Published {
    files: BTreeSet<(Slot, FileId)>,
    /// Too much to list, or nobody ever looked.
    everything: bool,
}

impl Default for News {
    fn default() -> Self {
        Self(Mutex::new(Published { files: BTreeSet::new(), everything: true }))
    }
}

impl News {
    /// A file was published: its rows are there.
    pub(crate) fn file(&self, slot: Slot, file: FileId) {
        let mut news = self.lock();
        if news.files.len() < MAX_NEWS {
            news.files.insert((slot, file));
        } else {
            news.everything = true;
        }
    }

    /// The rows are others now.
    pub(crate) fn everything(&self) {
        self.lock().everything = true;
    }

    fn is_empty(&self) -> bool {
        let news = self.lock();
        news.files.is_empty() && !news.everything
    }

    fn take(&self) -> Published {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Published> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known to be missing.
#[derive(Default)]
pub(crate) struct Holes(Mutex<BTreeSet<ChunkId>>);

impl Holes {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<ChunkId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShardGroup {
    /// Whether chunks may be missing; one look, without the disk.
    pub fn may_have_holes(&self) -> bool {
        !self.holes.lock().is_empty() || !self.state().news().is_empty()
    }

    /// Number of chunks that are known to be missing.
    pub fn known_holes(&self) -> usize {
        self.holes.lock().len()
    }

    /// Chunks that manifests name and this replica lacks, at most `limit`. None is promoted with holes.
    ///
    /// # Errors
    /// Storage errors.
    pub async fn missing_chunks(&self, limit: usize) -> Result<Vec<ChunkId>, Refusal> {
        self.blocking(move |shard| {
            shard.look_for_holes()?;
            Ok(shard.holes.lock().iter().copied().take(limit).collect())
        })
        .await
    }

    /// Forgets what is known, to be looked for again in all manifests: chunks of files that were deleted meanwhile never come.
    pub fn look_everywhere(&self) {
        self.holes.lock().clear();
        self.state().news().everything();
    }

    fn look_for_holes(&self) -> Result<(), Refusal> {
        let news = self.state().news().take();
        let looked = if news.everything { self.holes_anywhere() } else { self.holes_in(&news.files) };
        if looked.is_err() {
            self.state().news().everything();
        }
        let mut holes = self.holes.lock();
        holes.extend(looked?);
        holes.retain(|id| self.segments().info(*id).is_none());
        Ok(())
    }

    fn holes_in(&self, files: &BTreeSet<(Slot, FileId)>) -> Result<Vec<ChunkId>, Refusal> {
        let mut holes = Vec::new();
        for (slot, file) in files {
            let reader = self.state().read();
            match reader.get::<FileRow>(&file_key(*slot, *file))?.map(|row| row.state) {
                Some(FileState::Live { chunks }) => {
                    for page in 0..chunks.div_ceil(crate::limits::PAGE_CHUNKS) {
                        let row = reader.get::<PageRow>(&page_key(*slot, *file, page))?;
                        holes.extend(self.absent(row.iter().flat_map(|row| &row.chunks)));
                    }
                }
                Some(FileState::Staged { .. } | FileState::Dead) | None => {}
            }
        }
        Ok(holes)
    }

    fn holes_anywhere(&self) -> Result<Vec<ChunkId>, Refusal> {
        let (mut holes, mut rest) = (Vec::new(), Some(KeyRange::all()));
        while let Some(range) = rest {
            let reader = self.state().read();
            let page = reader.scan(Table::Pages, &range, ScanLimit::rows(256))?;
            for row in &page.rows {
                let (slot, file, _) = page_of(&row.key).ok_or(StateError::Key)?;
                let file_row = reader.get::<FileRow>(&file_key(slot, file))?;
                if matches!(file_row.map(|row| row.state), Some(FileState::Live { .. })) {
                    holes.extend(self.absent(&PageRow::decode(&row.value)?.chunks));
                }
            }
            if holes.len() >= MAX_HOLES {
                // The rest when these are filled.
                self.state().news().everything();
                return Ok(holes);
            }
            rest = page.next.map(|next| range.starting_at(next));
        }
        Ok(holes)
    }

    fn absent<'a>(&self, chunks: impl IntoIterator<Item = &'a ChunkRef>) -> Vec<ChunkId> {
        let ids = chunks.into_iter().map(ChunkRef::chunk);
        ids.filter(|id| self.segments().info(*id).is_none()).collect()
    }
}
