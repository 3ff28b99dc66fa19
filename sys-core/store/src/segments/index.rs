//! The index in memory: where each chunk is, and how much of each segment is still wanted. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use holdfast_domain::UploadId;

use super::{
    ChunkId, ChunkInfo, ChunkState,
    entry::{ChunkEntry, Entry, EntryKind, Place, SegmentId, Sequence},
};

/// A chunk that is there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Located {
    pub(super) entry: ChunkEntry,
    pub(super) sequence: Sequence,
    pub(super) place: Place,
}

impl Located {
    pub(super) fn info(&self) -> ChunkInfo {
        let ChunkEntry { id, upload, index, state, staged_at, len, sha256 } = self.entry;
        ChunkInfo { id, upload, index, state, staged_at, len, sha256 }
    }

    fn size(&self) -> u64 {
        Entry { kind: EntryKind::Chunk(self.entry), sequence: self.sequence, durable: 0 }.total_len()
    }
}

/// How full a segment is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes of all its entries.
    pub(super) written: u64,
    /// Bytes of chunks that are still wanted.
    pub(super) wanted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    chunks: HashMap<ChunkId, Located>,
    uploads: HashMap<UploadId, BTreeSet<ChunkId>>,
    pub(super) segments: BTreeMap<SegmentId, Usage>,
    /// Chunk entries on disk by upload, dead ones and copies included: a mark is needed for as long as there are any.
    on_disk: HashMap<UploadId, u64>,
}

impl Index {
    pub(super) fn get(&self, id: ChunkId) -> Option<&Located> {
        self.chunks.get(&id)
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Located> {
        self.chunks.values()
    }

    /// An upload's chunks, by id.
    pub(super) fn upload(&self, upload: UploadId) -> impl Iterator<Item = &Located> {
        self.uploads.get(&upload).into_iter().flatten().filter_map(|id| self.chunks.get(id))
    }

    pub(super) fn on_disk(&self, upload: UploadId) -> u64 {
        self.on_disk.get(&upload).copied().unwrap_or(0)
    }

    /// Counts an entry that is now in a file.
    pub(super) fn count_written(&mut self, segment: SegmentId, entry: &Entry) {
        let usage = self.segments.entry(segment).or_default();
        usage.written = usage.written.saturating_add(entry.total_len());
        if let EntryKind::Chunk(chunk) = &entry.kind {
            let count = self.on_disk.entry(chunk.upload).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Puts a chunk where it is now; where it was before is no longer wanted.
    pub(super) fn place(&mut self, located: Located) {
        self.remove(located.entry.id);
        let usage = self.segments.entry(located.place.segment).or_default();
        usage.wanted = usage.wanted.saturating_add(located.size());
        self.uploads.entry(located.entry.upload).or_default().insert(located.entry.id);
        self.chunks.insert(located.entry.id, located);
    }

    pub(super) fn remove(&mut self, id: ChunkId) {
        let Some(located) = self.chunks.remove(&id) else { return };
        if let Some(usage) = self.segments.get_mut(&located.place.segment) {
            usage.wanted = usage.wanted.saturating_sub(located.size());
        }
        if let Some(ids) = self.uploads.get_mut(&located.entry.upload) {
            ids.remove(&id);
            if ids.is_empty() {
                self.uploads.remove(&located.entry.upload);
            }
        }
    }

    pub(super) fn set_live(&mut self, upload: UploadId) {
        for id in self.uploads.get(&upload).into_iter().flatten() {
            if let Some(located) = self.chunks.get_mut(id) {
                located.entry.state = ChunkState::Live;
            }
        }
    }

    /// Forgets a segment whose file goes away, with the number of chunk entries that each upload had in it.
    pub(super) fn drop_segment(&mut self, segment: SegmentId, entries: &HashMap<UploadId, u64>) {
        self.segments.remove(&segment);
        for (upload, gone) in entries {
            if let Some(count) = self.on_disk.get_mut(upload) {
                *count = count.saturating_sub(*gone);
                if *count == 0 {
                    self.on_disk.remove(upload);
                }
            }
        }
    }
}

/// Collects entries in any order and makes the index of them.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    index: Index,
    /// By chunk the entry with the highest sequence number, the latest copy of it.
    found: HashMap<ChunkId, Located>,
    chunk_dead: HashMap<ChunkId, Sequence>,
    upload_dead: HashMap<UploadId, Sequence>,
    upload_live: HashMap<UploadId, Sequence>,
    highest: Sequence,
}

impl Rebuild {
    pub(super) fn add(&mut self, place: Place, entry: &Entry) {
        self.index.count_written(place.segment, entry);
        let Entry { kind, sequence, durable: _ } = *entry;
        self.highest = self.highest.max(sequence);
        match kind {
            EntryKind::Chunk(chunk) => {
                let located = Located { entry: chunk, sequence, place };
                let best = self.found.entry(chunk.id).or_insert(located);
                if (sequence, place) > (best.sequence, best.place) {
                    *best = located;
                }
            }
            EntryKind::UploadLive(upload) => raise(&mut self.upload_live, upload, sequence),
            EntryKind::UploadDead(upload) => raise(&mut self.upload_dead, upload, sequence),
            EntryKind::ChunkDead { upload: _, id } => raise(&mut self.chunk_dead, id, sequence),
            EntryKind::Durable => {}
        }
    }

    /// A segment file without any entry is still a segment.
    pub(super) fn add_segment(&mut self, segment: SegmentId) {
        self.index.segments.entry(segment).or_default();
    }

    /// The index, and the highest sequence number in use.
    pub(super) fn finish(self) -> (Index, Sequence) {
        let Self { mut index, found, chunk_dead, upload_dead, upload_live, highest } = self;
        for mut located in found.into_values() {
            let reached = |at: Option<&Sequence>| at.is_some_and(|at| *at >= located.sequence);
            let ChunkEntry { id, upload, .. } = located.entry;
            if reached(chunk_dead.get(&id)) || reached(upload_dead.get(&upload)) {
                continue;
            }
            if reached(upload_live.get(&upload)) {
                located.entry.state = ChunkState::Live;
            }
            index.place(located);
        }
        (index, highest)
    }
}

fn raise<K: std::hash::Hash + Eq>(marks: &mut HashMap<K, Sequence>, key: K, sequence: Sequence) {
    let mark = marks.entry(key).or_default();
    *mark = (*mark).max(sequence);
}
