//! Reading a segment back: every entry, where the good part ends, and what is damaged.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use holdfast_domain::Sha256Hash;

use super::{
    SegmentError,
    entry::{Entry, EntryKind, HEADER_LEN, MAGIC, Place, SegmentId, header_len},
};

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub path: PathBuf,
    /// Where the entry begins.
    pub offset: u64,
}

/// Which segment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ended properly before the next one began: it has no torn tail.
    Ended,
    /// Was being written when the process ended.
    Last,
}

#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) entries: Vec<(Place, Entry)>,
    /// Where the next entry goes; what follows, if anything, is a torn tail.
    pub(super) end: u64,
    /// Where entries should be and cannot be read.
    pub(super) damage: Vec<u64>,
}

impl Scan {
    /// Reads every entry of a segment.
    pub(super) fn read(
        file: &File,
        path: &Path,
        segment: SegmentId,
        standing: Standing,
    ) -> Result<Self, SegmentError> {
        let len = file.metadata().map_err(SegmentError::io("read", path))?.len();
        let segment = Segment { file, path, id: segment, len };
        let mut scan = Self::default();
        loop {
            scan.read_run(&segment)?;
            let rest = segment.bytes(scan.end, len)?;
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            scan.damage.push(scan.end);
            scan.end = segment.resync(scan.end, &rest);
        }
        if standing == Standing::Last {
            scan.drop_torn_tail(&segment)?;
        }
        Ok(scan)
    }

    /// Reads entries one after another for as long as they are good.
    fn read_run(&mut self, segment: &Segment<'_>) -> Result<(), SegmentError> {
        while let Some((place, entry)) = segment.entry(self.end)? {
            self.end = place.offset.saturating_add(entry.total_len());
            self.entries.push((place, entry));
        }
        Ok(())
    }

    /// What was not known to be durable counts up to the first thing that is not whole: a bad header, or a header that
    /// reached the disk before its chunk did.
    fn drop_torn_tail(&mut self, segment: &Segment<'_>) -> Result<(), SegmentError> {
        let durable = self.entries.iter().map(|(_, entry)| entry.durable).max().unwrap_or(0);
        let mut torn = self.damage.iter().copied().find(|offset| *offset >= durable);
        for (place, entry) in &self.entries {
            let undecided = place.offset >= durable && torn.is_none_or(|torn| place.offset < torn);
            if undecided && !segment.is_whole(*place, entry)? {
                torn = Some(place.offset);
            }
        }
        if let Some(torn) = torn {
            self.end = torn;
            self.entries.retain(|(place, _)| place.offset < torn);
            self.damage.retain(|offset| *offset < torn);
        }
        Ok(())
    }
}

struct Segment<'a> {
    file: &'a File,
    path: &'a Path,
    id: SegmentId,
    len: u64,
}

impl Segment<'_> {
    fn bytes(&self, from: u64, to: u64) -> Result<Vec<u8>, SegmentError> {
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(0);
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, from).map_err(SegmentError::io("read", self.path))?;
        Ok(bytes)
    }

    /// The entry at an offset, if a good one that fits is there.
    fn entry(&self, offset: u64) -> Result<Option<(Place, Entry)>, SegmentError> {
        if offset.saturating_add(header_len()) > self.len {
            return Ok(None);
        }
        let mut header = [0; HEADER_LEN];
        self.file.read_exact_at(&mut header, offset).map_err(SegmentError::io("read", self.path))?;
        let place = Place { segment: self.id, offset };
        let entry = Entry::decode(place, &header);
        Ok(entry
            .filter(|entry| offset.saturating_add(entry.total_len()) <= self.len)
            .map(|entry| (place, entry)))
    }

    fn is_whole(&self, place: Place, entry: &Entry) -> Result<bool, SegmentError> {
        let EntryKind::Chunk(chunk) = &entry.kind else { return Ok(true) };
        let start = place.offset.saturating_add(header_len());
        let bytes = self.bytes(start, start.saturating_add(u64::from(chunk.len)))?;
        Ok(Sha256Hash::of(&bytes) == chunk.sha256)
    }

    /// Offset of the next good entry after the bad one at `offset`, or the end of the file. `rest` is what is there.
    fn resync(&self, offset: u64, rest: &[u8]) -> u64 {
        let candidates =
            rest.windows(HEADER_LEN).enumerate().skip(1).filter(|(_, bytes)| bytes.starts_with(&MAGIC));
        for (skipped, bytes) in candidates {
            let Ok(header) = <&[u8; HEADER_LEN]>::try_from(bytes) else { continue };
            let at = offset.saturating_add(u64::try_from(skipped).unwrap_or(u64::MAX));
            if Entry::decode(Place { segment: self.id, offset: at }, header).is_some() {
                return at;
            }
        }
        self.len
    }
}
