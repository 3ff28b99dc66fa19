//! Compaction: what is still wanted of a mostly dead segment is appended anew, then the file goes.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    sync::PoisonError,
};

use super::{
    SegmentError, SegmentStore,
    entry::{Entry, EntryKind, Place, SegmentId},
    index::Located,
    scan::{Scan, Standing},
    writer::{Purpose, segment_path},
};
use crate::durability::sync_folder;

/// What one compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Bytes of the file that went.
    pub removed_bytes: u64,
    /// Bytes of chunks that were copied.
    pub copied_bytes: u64,
}

impl SegmentStore {
    /// Rewrites the deadest segment if more than half of it is dead. Call it again until it returns `None`.
    ///
    /// # Errors
    /// [`SegmentError::Corrupt`] for a wanted chunk that cannot be read: the segment stays until that chunk was
    /// deleted and fetched again.
    pub fn compact(&self) -> Result<Option<Compacted>, SegmentError> {
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(segment) = self.deadest_segment() else { return Ok(None) };
        let path = segment_path(&self.folder, segment);
        let file = File::open(&path).map_err(SegmentError::io("open", &path))?;
        let removed_bytes = file.metadata().map_err(SegmentError::io("read", &path))?.len();
        let scan = Scan::read(&file, &path, segment, Standing::Ended)?;
        let mut copied_bytes = 0u64;
        for (place, entry) in &scan.entries {
            copied_bytes = copied_bytes.saturating_add(self.copy_if_wanted(*place, entry)?);
        }
        let chunks = chunks_by_upload(&scan.entries);
        for (_, entry) in &scan.entries {
            self.carry_mark_on(entry, &chunks)?;
        }
        self.sync_all()?;
        self.remove_segment(segment, &path, &chunks)?;
        Ok(Some(Compacted { removed_bytes, copied_bytes }))
    }

    /// The segment with the least wanted share, below one half. Never the active one.
    fn deadest_segment(&self) -> Option<SegmentId> {
        let active = self.writer().active();
        let index = self.index();
        let candidates = index.segments.iter().filter(|(id, _)| Some(**id) != active);
        candidates
            .filter(|(_, usage)| usage.wanted.saturating_mul(2) < usage.written || usage.written == 0)
            .min_by_key(|(_, usage)| usage.wanted)
            .map(|(id, _)| *id)
    }

    fn copy_if_wanted(&self, place: Place, entry: &Entry) -> Result<u64, SegmentError> {
        let EntryKind::Chunk(chunk) = &entry.kind else { return Ok(0) };
        let still_here = |located: &&Located| located.place == place;
        let Some(located) = self.index().get(chunk.id).filter(still_here).copied() else { return Ok(0) };
        let sealed = self.read_at(&located)?;
        // Looked at again under the writer's lock: it may have died or become live meanwhile.
        let mut writer = self.writer();
        let Some(located) = self.index().get(chunk.id).filter(still_here).copied() else { return Ok(0) };
        let kind = EntryKind::Chunk(located.entry);
        let appended = writer.append_as(kind, located.sequence, &sealed, Purpose::Reclaim)?;
        let copied = appended.entry.total_len();
        self.adopt(appended);
        Ok(copied)
    }

    /// A mark is needed for as long as another file has chunk entries of its upload.
    fn carry_mark_on(
        &self,
        entry: &Entry,
        leaving: &HashMap<holdfast_domain::UploadId, u64>,
    ) -> Result<(), SegmentError> {
        let upload = match &entry.kind {
            EntryKind::Chunk(_) | EntryKind::Durable => return Ok(()),
            EntryKind::UploadLive(upload) | EntryKind::UploadDead(upload) => *upload,
            EntryKind::ChunkDead { upload, id: _ } => *upload,
        };
        let mut writer = self.writer();
        if self.index().on_disk(upload) > leaving.get(&upload).copied().unwrap_or(0) {
            let appended = writer.append_as(entry.kind, entry.sequence, &[], Purpose::Reclaim)?;
            self.adopt(appended);
        }
        Ok(())
    }

    fn remove_segment(
        &self,
        segment: SegmentId,
        path: &Path,
        chunks: &HashMap<holdfast_domain::UploadId, u64>,
    ) -> Result<(), SegmentError> {
        let _writer = self.writer();
        fs::remove_file(path).map_err(SegmentError::io("remove", path))?;
        sync_folder(&self.folder)?;
        self.index_mut().drop_segment(segment, chunks);
        Ok(())
    }
}

fn chunks_by_upload(entries: &[(Place, Entry)]) -> HashMap<holdfast_domain::UploadId, u64> {
    let mut counts = HashMap::new();
    for (_, entry) in entries {
        if let EntryKind::Chunk(chunk) = &entry.kind {
            *counts.entry(chunk.upload).or_default() += 1;
        }
    }
    counts
}
