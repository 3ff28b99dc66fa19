//! The one writer: appends entries to the active segment and begins the next one when it is full.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

use super::{
    SegmentError,
    entry::{Entry, EntryKind, Place, SegmentId, Sequence},
    sync::{Position, SyncGate, Target},
};
use crate::{
    durability::{sync_data, sync_folder},
    space::SpaceGuard,
};

/// Marks may pass a full segment's end by this much, so that a full disk can still be told what is dead.
const MARK_SLACK: u64 = 1024 * 1024;

/// Whose chunk it is that wants room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// New content leaves the reserve alone.
    NewContent,
    /// Compaction and marks free space in the end: they may use it.
    Reclaim,
}

pub(super) struct Active {
    id: SegmentId,
    file: Arc<File>,
    path: PathBuf,
    offset: u64,
}

pub(super) struct Writer {
    folder: PathBuf,
    segment_bytes: u64,
    space: SpaceGuard,
    gate: Arc<SyncGate>,
    active: Option<Active>,
    next_sequence: Sequence,
    /// Whether anything was appended since the last durable mark.
    clean: bool,
}

/// An entry that is in its file, not yet durable.
pub(super) struct Appended {
    pub(super) entry: Entry,
    pub(super) place: Place,
    pub(super) end: Position,
}

impl Writer {
    pub(super) fn new(
        folder: &Path,
        segment_bytes: u64,
        reserve_bytes: u64,
        gate: Arc<SyncGate>,
        active: Option<Active>,
        highest: Sequence,
    ) -> Self {
        let space = SpaceGuard::new(folder, reserve_bytes);
        let next_sequence = Sequence(highest.0.saturating_add(1));
        Self { folder: folder.to_path_buf(), segment_bytes, space, gate, active, next_sequence, clean: true }
    }

    /// The segment that entries go to now.
    pub(super) fn active(&self) -> Option<SegmentId> {
        self.active.as_ref().map(|active| active.id)
    }

    /// What a sync has to reach for everything appended so far.
    pub(super) fn position(&self) -> Position {
        self.active.as_ref().map_or(Position::START, Active::position)
    }

    pub(super) fn sync_target(&self) -> Option<Target> {
        self.active.as_ref().map(|active| Target {
            file: Arc::clone(&active.file),
            path: active.path.clone(),
            reaches: active.position(),
        })
    }

    /// Whether the file says by itself how far it is durable.
    pub(super) fn is_clean(&self) -> bool {
        self.clean
    }

    /// Appends an entry with the next sequence number.
    pub(super) fn append(
        &mut self,
        kind: EntryKind,
        payload: &[u8],
        purpose: Purpose,
    ) -> Result<Appended, SegmentError> {
        let sequence = self.next_sequence;
        let appended = self.append_as(kind, sequence, payload, purpose)?;
        self.next_sequence = Sequence(sequence.0.saturating_add(1));
        Ok(appended)
    }

    /// Appends a copy, or a mark that is carried on, under the sequence number it has.
    pub(super) fn append_as(
        &mut self,
        kind: EntryKind,
        sequence: Sequence,
        payload: &[u8],
        purpose: Purpose,
    ) -> Result<Appended, SegmentError> {
        self.gate.check(&self.folder)?;
        let mut entry = Entry { kind, sequence, durable: 0 };
        let room = match kind {
            EntryKind::Chunk(_) => self.segment_bytes,
            EntryKind::UploadLive(_)
            | EntryKind::UploadDead(_)
            | EntryKind::ChunkDead { .. }
            | EntryKind::Durable => self.segment_bytes.saturating_add(MARK_SLACK),
        };
        let fits = |active: &Active| active.offset.saturating_add(entry.total_len()) <= room;
        if !self.active.as_ref().is_some_and(fits) {
            self.begin_segment(purpose)?;
        }
        let Some(active) = self.active.as_mut() else {
            return Err(SegmentError::io("append to", &self.folder)(io::ErrorKind::NotFound.into()));
        };
        let place = Place { segment: active.id, offset: active.offset };
        let durable = self.gate.durable();
        entry.durable = if durable.segment == active.id { durable.offset } else { 0 };
        let bytes = [entry.encode(place).as_slice(), payload].concat();
        // What a failed write leaves behind is overwritten by the next one, or cut off with the torn tail.
        active
            .file
            .write_all_at(&bytes, place.offset)
            .map_err(SegmentError::io("append to", &active.path))?;
        active.offset = place.offset.saturating_add(entry.total_len());
        self.clean = entry.kind == EntryKind::Durable;
        Ok(Appended { entry, place, end: active.position() })
    }

    /// Ends the active segment, durable and without its unused tail, and begins the next.
    fn begin_segment(&mut self, purpose: Purpose) -> Result<(), SegmentError> {
        if let Some(active) = &self.active {
            active.file.set_len(active.offset).map_err(SegmentError::io("end", &active.path))?;
            self.gate.advance(sync_data(&active.file, &active.path), active.position())?;
        }
        if purpose == Purpose::NewContent {
            self.space
                .require(self.segment_bytes)
                .map_err(|_| SegmentError::DiskFull { path: self.folder.clone() })?;
        }
        let id = SegmentId(self.active().map_or(1, |SegmentId(id)| id.saturating_add(1)));
        let path = segment_path(&self.folder, id);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(SegmentError::io("create", &path))?;
        if let Err(error) = preallocate(&file, self.segment_bytes) {
            drop(file);
            std::fs::remove_file(&path).map_err(SegmentError::io("remove", &path))?;
            return Err(SegmentError::io("preallocate", &path)(error));
        }
        sync_folder(&self.folder)?;
        self.active = Some(Active { id, file: Arc::new(file), path, offset: 0 });
        Ok(())
    }
}

impl Active {
    /// Goes on in the last segment of the previous run.
    pub(super) fn reopen(id: SegmentId, path: PathBuf, file: File, offset: u64) -> Self {
        Self { id, file: Arc::new(file), path, offset }
    }

    fn position(&self) -> Position {
        Position { segment: self.id, offset: self.offset }
    }
}

/// Reserves blocks, so that a full disk shows here and syncs need not move the end of the file.
pub(super) fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        // A file system without it still works, only slower.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
        Err(errno) => Err(errno.into()),
    }
}

const EXTENSION: &str = "segment";

pub(super) fn segment_path(folder: &Path, SegmentId(id): SegmentId) -> PathBuf {
    folder.join(format!("{id:016x}.{EXTENSION}"))
}

/// The number of a segment file, `None` for any other file.
pub(super) fn segment_of(path: &Path) -> Option<SegmentId> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let stem = path.file_stem()?.to_str()?;
    let canonical = stem.len() == 16 && !stem.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'+');
    canonical.then(|| u64::from_str_radix(stem, 16).ok().map(SegmentId)).flatten()
}
