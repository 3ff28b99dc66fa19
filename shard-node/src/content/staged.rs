//! Chunks of uploads under way, by their place: one for each, whoever sends it twice.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use holdfast_domain::FileId;
use holdfast_store::{SegmentStore, segments::ChunkInfo};

use super::rows::segment_upload;
use crate::{limits::MAX_STAGED_FILES, machine::ChunkRef};

/// The uploads that were touched lately; what is not here is read from the segments' index.
#[derive(Default)]
pub(crate) struct StagedFiles(Mutex<HashMap<FileId, Arc<StagedFile>>>);

/// One upload's chunks. Who holds the lock alone adds chunks.
#[derive(Default)]
pub(super) struct StagedFile {
    chunks: Mutex<BTreeMap<u32, ChunkRef>>,
    spread: Mutex<Option<Spread>>,
}

/// How much of an upload a majority was found to hold, and a majority of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spread {
    /// Chunks from the start.
    pub(super) chunks: usize,
    /// Index of the membership.
    pub(super) membership: Option<u64>,
}

impl StagedFiles {
    pub(super) fn of(&self, file: FileId, segments: &SegmentStore) -> Arc<StagedFile> {
        let mut files = self.lock();
        if let Some(staged) = files.get(&file) {
            return Arc::clone(staged);
        }
        if files.len() >= MAX_STAGED_FILES {
            // Those in use stay: two maps of one upload would take a chunk twice.
            let idle = files.iter().find(|(_, staged)| Arc::strong_count(staged) == 1).map(|(file, _)| *file);
            idle.map(|file| files.remove(&file));
        }
        let mut chunks = BTreeMap::new();
        for chunk in segments.chunks_of(segment_upload(file)) {
            chunks.entry(chunk.index).or_insert_with(|| reference(&chunk));
        }
        let staged = Arc::new(StagedFile { chunks: Mutex::new(chunks), spread: Mutex::default() });
        files.insert(file, Arc::clone(&staged));
        staged
    }

    /// The upload has ended.
    pub(super) fn forget(&self, file: FileId) {
        self.lock().remove(&file);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FileId, Arc<StagedFile>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StagedFile {
    pub(super) fn chunks(&self) -> MutexGuard<'_, BTreeMap<u32, ChunkRef>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much a majority was found to hold.
    pub(super) fn spread(&self) -> MutexGuard<'_, Option<Spread>> {
        self.spread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunks from the start without a hole.
    pub(super) fn without_holes(&self) -> Vec<ChunkRef> {
        let chunks = self.chunks();
        (0..)
            .zip(chunks.iter())
            .take_while(|(place, (index, _))| place == *index)
            .map(|(_, (_, chunk))| *chunk)
            .collect()
    }
}

pub(super) fn reference(chunk: &ChunkInfo) -> ChunkRef {
    ChunkRef { id: chunk.id.0, len: chunk.len, sha256: chunk.sha256 }
}
