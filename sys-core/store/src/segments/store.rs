//! The store: open, append, sync, read, mark, expire.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use holdfast_domain::{Sha256Hash, UnixMs, UploadId};

use super::{
    ChunkId, ChunkInfo, ChunkState, Damage, NewChunk, Position, SegmentError,
    entry::{ChunkEntry, EntryKind, HEADER_LEN, SegmentId},
    index::{Index, Located, Rebuild},
    scan::{Scan, Standing},
    sync::SyncGate,
    writer::{Active, Appended, Purpose, Writer, preallocate, segment_of, segment_path},
};
use crate::{
    durability::{sync_data, sync_folder},
    limits::{DISK_RESERVE_BYTES, MAX_CHUNK_BYTES, SEGMENT_BYTES, STAGED_TTL_MS},
    space::SpaceGuard,
};

/// What to do when an entry that was durable cannot be read at open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDamage {
    /// Refuse to open, naming file and offset.
    Refuse,
    /// Open without it: its chunk is a hole to be fetched from a peer. See [`SegmentStore::damage`].
    Skip,
}

/// Settings of a [`SegmentStore`].
#[derive(Debug, Clone, Copy)]
pub struct SegmentOptions {
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Free disk space that new content leaves alone.
    pub reserve_bytes: u64,
    /// Age at which staged chunks expire.
    pub staged_ttl_ms: u64,
    /// What damage does to opening.
    pub on_damage: OnDamage,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            reserve_bytes: DISK_RESERVE_BYTES,
            staged_ttl_ms: STAGED_TTL_MS,
            on_damage: OnDamage::Refuse,
        }
    }
}

/// Counts for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SegmentStats {
    /// Segment files.
    pub segments: u64,
    /// Chunks, staged ones included.
    pub chunks: u64,
    /// Chunks that no manifest holds yet.
    pub staged: u64,
    /// Bytes of all entries.
    pub written_bytes: u64,
    /// Bytes of entries whose chunks are still wanted.
    pub wanted_bytes: u64,
}

/// Sealed chunks in segment files. Blocking; shared between threads.
pub struct SegmentStore {
    pub(super) folder: PathBuf,
    options: SegmentOptions,
    damage: Vec<Damage>,
    gate: Arc<SyncGate>,
    writer: Mutex<Writer>,
    index: RwLock<Index>,
    pub(super) compaction: Mutex<()>,
}

impl SegmentStore {
    /// Opens or creates the segments in `folder` and rebuilds the index.
    ///
    /// # Errors
    /// [`SegmentError::Corrupt`] for a durable entry that cannot be read, unless the options say otherwise.
    pub fn open(folder: &Path, options: SegmentOptions) -> Result<Self, SegmentError> {
        fs::create_dir_all(folder).map_err(SegmentError::io("create", folder))?;
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
        let mut opening = Opening { options, rebuild: Rebuild::default(), damage: Vec::new() };
        let ids = list(folder)?;
        let mut active = None;
        for id in &ids {
            let standing = if ids.last() == Some(id) { Standing::Last } else { Standing::Ended };
            active = opening.segment(folder, *id, standing)?;
        }
        let Opening { rebuild, damage, .. } = opening;
        let (index, highest) = rebuild.finish();
        let (active, durable) = active.map_or((None, Position::START), |(active, end)| (Some(active), end));
        let gate = Arc::new(SyncGate::new(durable));
        let writer = Writer::new(
            folder,
            options.segment_bytes,
            options.reserve_bytes,
            Arc::clone(&gate),
            active,
            highest,
        );
        Ok(Self {
            folder: folder.to_path_buf(),
            options,
            damage,
            gate,
            writer: Mutex::new(writer),
            index: RwLock::new(index),
            compaction: Mutex::default(),
        })
    }

    /// What was skipped at open.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Appends a sealed chunk: readable at once, durable after [`Self::sync`]. Appending what is there already changes
    /// nothing.
    ///
    /// # Errors
    /// [`SegmentError::DiskFull`] leaves everything readable.
    pub fn append(&self, chunk: &NewChunk, sealed: &[u8]) -> Result<Position, SegmentError> {
        let length = SegmentError::ChunkLength { len: sealed.len() };
        if sealed.is_empty() || sealed.len() > MAX_CHUNK_BYTES {
            return Err(length);
        }
        let len = u32::try_from(sealed.len()).map_err(|_| length)?;
        let sha256 = Sha256Hash::of(sealed);
        let NewChunk { id, upload, index, state, staged_at } = *chunk;
        let entry = ChunkEntry { id, upload, index, state, staged_at, len, sha256 };
        let mut writer = self.writer();
        if let Some(there) = self.index().get(id).map(|located| located.entry) {
            if (there.upload, there.index, there.sha256) != (upload, index, sha256) {
                return Err(SegmentError::IdTaken(id));
            }
            if there.state == ChunkState::Live || state == ChunkState::Staged {
                return Ok(writer.position());
            }
        }
        let appended = writer.append(EntryKind::Chunk(entry), sealed, Purpose::NewContent)?;
        Ok(self.adopt(appended))
    }

    /// Returns once everything up to a position is durable, together with whoever else waits.
    ///
    /// # Errors
    /// [`SegmentError::Sync`] is fatal: hand the result to [`crate::abort_on_failed_sync`].
    pub fn sync(&self, upto: Position) -> Result<(), SegmentError> {
        self.gate.wait(upto, &self.folder, || self.writer().sync_target())
    }

    /// Makes everything appended and marked so far durable; part of the barrier before a log is purged.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn sync_all(&self) -> Result<(), SegmentError> {
        let position = self.writer().position();
        self.sync(position)
    }

    /// A chunk's sealed bytes, checked against its hash; `None` if it is not here.
    ///
    /// # Errors
    /// [`SegmentError::Corrupt`] names the file and the offset of a damaged chunk.
    pub fn read(&self, id: ChunkId) -> Result<Option<Bytes>, SegmentError> {
        let mut moved_from = None;
        loop {
            let Some(located) = self.index().get(id).copied() else { return Ok(None) };
            match self.read_at(&located) {
                // Compaction moved the chunk and removed the file between the two looks.
                Err(SegmentError::Io { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && moved_from != Some(located.place) =>
                {
                    moved_from = Some(located.place);
                }
                result => return result.map(Some),
            }
        }
    }

    /// What is known of a chunk; `None` if it is not here.
    pub fn info(&self, id: ChunkId) -> Option<ChunkInfo> {
        self.index().get(id).map(Located::info)
    }

    /// The chunks of an upload in their order.
    pub fn chunks_of(&self, upload: UploadId) -> Vec<ChunkInfo> {
        let mut chunks: Vec<_> = self.index().upload(upload).map(Located::info).collect();
        chunks.sort_by_key(|chunk| (chunk.index, chunk.id));
        chunks
    }

    /// Every upload that has chunks here, for comparing with the manifests.
    pub fn uploads(&self) -> BTreeSet<UploadId> {
        self.index().chunks().map(|located| located.entry.upload).collect()
    }

    /// A manifest now holds the upload's chunks. Durable with the next sync; doing it again changes nothing.
    ///
    /// # Errors
    /// I/O errors.
    pub fn mark_live(&self, upload: UploadId) -> Result<Position, SegmentError> {
        let mut writer = self.writer();
        let staged = self.index().upload(upload).any(|located| located.entry.state == ChunkState::Staged);
        if !staged {
            return Ok(writer.position());
        }
        let appended = writer.append(EntryKind::UploadLive(upload), &[], Purpose::Reclaim)?;
        let end = self.adopt(appended);
        self.index_mut().set_live(upload);
        Ok(end)
    }

    /// Drops all chunks of an upload. Durable with the next sync; space comes back by [`Self::compact`].
    ///
    /// # Errors
    /// I/O errors.
    pub fn delete_upload(&self, upload: UploadId) -> Result<Position, SegmentError> {
        let mut writer = self.writer();
        let ids: Vec<_> = self.index().upload(upload).map(|located| located.entry.id).collect();
        if ids.is_empty() {
            return Ok(writer.position());
        }
        let appended = writer.append(EntryKind::UploadDead(upload), &[], Purpose::Reclaim)?;
        let end = self.adopt(appended);
        let mut index = self.index_mut();
        ids.into_iter().for_each(|id| index.remove(id));
        Ok(end)
    }

    /// Drops single chunks, such as a damaged one before it is fetched again.
    ///
    /// # Errors
    /// I/O errors; chunks before the failing one are dropped.
    pub fn delete_chunks(&self, ids: &[ChunkId]) -> Result<Position, SegmentError> {
        let mut writer = self.writer();
        for id in ids {
            let Some(upload) = self.index().get(*id).map(|located| located.entry.upload) else { continue };
            let appended = writer.append(EntryKind::ChunkDead { upload, id: *id }, &[], Purpose::Reclaim)?;
            self.adopt(appended);
            self.index_mut().remove(*id);
        }
        Ok(writer.position())
    }

    /// Drops staged chunks that are older than the options allow. Returns how many.
    ///
    /// # Errors
    /// I/O errors.
    pub fn expire_staged(&self, now: UnixMs) -> Result<usize, SegmentError> {
        let expired = |located: &&Located| {
            located.entry.state == ChunkState::Staged
                && now.since(located.entry.staged_at) >= self.options.staged_ttl_ms
        };
        let ids: Vec<_> = self.index().chunks().filter(expired).map(|located| located.entry.id).collect();
        let mut dropped = 0;
        for id in ids {
            // Looked at again under the writer's lock: it may have become live meanwhile.
            let mut writer = self.writer();
            let Some(upload) = self.index().get(id).filter(expired).map(|located| located.entry.upload)
            else {
                continue;
            };
            let appended = writer.append(EntryKind::ChunkDead { upload, id }, &[], Purpose::Reclaim)?;
            self.adopt(appended);
            self.index_mut().remove(id);
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Looks at once whether the disk has room for `bytes` beyond the reserve: for whoever must refuse before it is full.
    ///
    /// # Errors
    /// [`SegmentError::DiskFull`].
    pub fn require_room(&self, bytes: u64) -> Result<(), SegmentError> {
        SpaceGuard::new(&self.folder, self.options.reserve_bytes)
            .require(bytes)
            .map_err(|_| SegmentError::DiskFull { path: self.folder.clone() })
    }

    /// Counts for metrics.
    pub fn stats(&self) -> SegmentStats {
        let index = self.index();
        let mut stats = SegmentStats::default();
        for usage in index.segments.values() {
            stats.segments += 1;
            stats.written_bytes += usage.written;
            stats.wanted_bytes += usage.wanted;
        }
        for located in index.chunks() {
            stats.chunks += 1;
            stats.staged += u64::from(located.entry.state == ChunkState::Staged);
        }
        stats
    }

    /// Ends cleanly: everything durable, and the file says so. Also done on drop, where errors are only logged.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn close(&self) -> Result<(), SegmentError> {
        self.sync_all()?;
        let mut writer = self.writer();
        if writer.is_clean() {
            return Ok(());
        }
        let appended = writer.append(EntryKind::Durable, &[], Purpose::Reclaim)?;
        drop(writer);
        let end = self.adopt(appended);
        self.sync(end)
    }

    /// Takes an appended entry into the index. The caller holds the writer.
    pub(super) fn adopt(&self, appended: Appended) -> Position {
        let Appended { entry, place, end } = appended;
        let mut index = self.index_mut();
        index.count_written(place.segment, &entry);
        if let EntryKind::Chunk(chunk) = entry.kind {
            index.place(Located { entry: chunk, sequence: entry.sequence, place });
        }
        end
    }

    pub(super) fn read_at(&self, located: &Located) -> Result<Bytes, SegmentError> {
        let Located { entry: expected, sequence: _, place } = located;
        let path = segment_path(&self.folder, place.segment);
        let file = File::open(&path).map_err(SegmentError::io("open", &path))?;
        let len = usize::try_from(expected.len).unwrap_or(usize::MAX).min(MAX_CHUNK_BYTES);
        let mut bytes = vec![0; HEADER_LEN.saturating_add(len)];
        let corrupt = || SegmentError::Corrupt { path: path.clone(), offset: place.offset };
        file.read_exact_at(&mut bytes, place.offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(),
            _ => SegmentError::io("read", &path)(error),
        })?;
        let sealed = Bytes::from(bytes).split_off(HEADER_LEN);
        if Sha256Hash::of(&sealed) == expected.sha256 { Ok(sealed) } else { Err(corrupt()) }
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SegmentStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, folder = %self.folder.display(), "segments were not closed cleanly");
        }
    }
}

/// What is collected while segments are read.
struct Opening {
    options: SegmentOptions,
    rebuild: Rebuild,
    damage: Vec<Damage>,
}

impl Opening {
    /// Reads one segment; the last one comes back ready for more, and durable up to its end.
    fn segment(
        &mut self,
        folder: &Path,
        id: SegmentId,
        standing: Standing,
    ) -> Result<Option<(Active, Position)>, SegmentError> {
        let path = segment_path(folder, id);
        let file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(SegmentError::io("open", &path))?;
        let Scan { entries, end, damage } = Scan::read(&file, &path, id, standing)?;
        for offset in damage {
            if self.options.on_damage == OnDamage::Refuse {
                return Err(SegmentError::Corrupt { path, offset });
            }
            self.damage.push(Damage { path: path.clone(), offset });
        }
        self.rebuild.add_segment(id);
        entries.iter().for_each(|(place, entry)| self.rebuild.add(*place, entry));
        if standing == Standing::Ended {
            return Ok(None);
        }
        // Cuts a torn tail off and reserves the room again; both are only an optimisation for a clean one.
        file.set_len(end).map_err(SegmentError::io("cut", &path))?;
        if let Err(error) = preallocate(&file, self.options.segment_bytes.max(end)) {
            tracing::debug!(%error, path = %path.display(), "segment was not preallocated again");
        }
        sync_data(&file, &path)?;
        Ok(Some((Active::reopen(id, path, file, end), Position { segment: id, offset: end })))
    }
}

fn list(folder: &Path) -> Result<BTreeSet<SegmentId>, SegmentError> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(SegmentError::io("list", folder))? {
        let entry = entry.map_err(SegmentError::io("list", folder))?;
        ids.extend(segment_of(&entry.path()));
    }
    Ok(ids)
}
