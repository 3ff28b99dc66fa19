//! The header of one entry: fixed length, checksummed together with the place it stands in.
//!
//! `magic ‖ kind ‖ state ‖ 0 ‖ len ‖ index ‖ sequence ‖ staged_at ‖ durable ‖ id ‖ upload ‖ sha256 ‖ checksum`,
//! numbers big-endian. The checksum finds accidents, it does not authenticate: chunks are sealed and manifests name
//! their hashes.

use holdfast_domain::{Sha256Hash, UnixMs, UploadId};

use super::{ChunkId, ChunkState};
use crate::limits::MAX_CHUNK_BYTES;

pub(super) const MAGIC: [u8; 4] = *b"HFS1";
const CHECKED_LEN: usize = 104;
const CHECKSUM_LEN: usize = 16;
/// Length of a header.
pub(super) const HEADER_LEN: usize = CHECKED_LEN + CHECKSUM_LEN;

/// Orders chunks and what later happened to them; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Sequence(pub(super) u64);

/// A segment's number; its file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SegmentId(pub(super) u64);

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) segment: SegmentId,
    pub(super) offset: u64,
}

/// A chunk's own fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    pub(super) id: ChunkId,
    pub(super) upload: UploadId,
    pub(super) index: u32,
    pub(super) state: ChunkState,
    pub(super) staged_at: UnixMs,
    pub(super) len: u32,
    pub(super) sha256: Sha256Hash,
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// Sealed bytes follow.
    Chunk(ChunkEntry),
    /// All chunks of the upload up to this sequence number are live.
    UploadLive(UploadId),
    /// All chunks of the upload up to this sequence number are dead.
    UploadDead(UploadId),
    /// This chunk, up to this sequence number, is dead.
    ChunkDead { upload: UploadId, id: ChunkId },
    /// Nothing new, but how far the segment is durable: written at a clean close.
    Durable,
}

/// One entry without the chunk's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) sequence: Sequence,
    /// Everything of this segment before this offset was durable when the entry was written.
    pub(super) durable: u64,
}

impl Entry {
    /// Bytes after the header.
    pub(super) fn payload_len(&self) -> u64 {
        match &self.kind {
            EntryKind::Chunk(chunk) => u64::from(chunk.len),
            EntryKind::UploadLive(_)
            | EntryKind::UploadDead(_)
            | EntryKind::ChunkDead { .. }
            | EntryKind::Durable => 0,
        }
    }

    /// Header and payload.
    pub(super) fn total_len(&self) -> u64 {
        self.payload_len().saturating_add(header_len())
    }

    pub(super) fn encode(&self, place: Place) -> [u8; HEADER_LEN] {
        let Self { kind, sequence, durable } = self;
        let blank = ChunkEntry {
            id: ChunkId([0; 16]),
            upload: UploadId::new([0; 16]),
            index: 0,
            state: ChunkState::Staged,
            staged_at: UnixMs(0),
            len: 0,
            sha256: Sha256Hash::new([0; 32]),
        };
        let (tag, fields) = match *kind {
            EntryKind::Chunk(chunk) => (1, chunk),
            EntryKind::UploadLive(upload) => (2, ChunkEntry { upload, ..blank }),
            EntryKind::UploadDead(upload) => (3, ChunkEntry { upload, ..blank }),
            EntryKind::ChunkDead { upload, id } => (4, ChunkEntry { upload, id, ..blank }),
            EntryKind::Durable => (5, blank),
        };
        let ChunkEntry { id, upload, index, state, staged_at, len, sha256 } = fields;
        let mut header = Writer { bytes: [0; HEADER_LEN], at: 0 };
        header.put(&MAGIC);
        header.put(&[tag, state_byte(state), 0, 0]);
        header.put(&len.to_be_bytes());
        header.put(&index.to_be_bytes());
        header.put(&sequence.0.to_be_bytes());
        header.put(&staged_at.0.to_be_bytes());
        header.put(&durable.to_be_bytes());
        header.put(&id.0);
        header.put(upload.as_bytes());
        header.put(sha256.as_bytes());
        let sum = checksum(place, &header.bytes);
        header.put(&sum);
        header.bytes
    }

    /// `None` for anything that was not written by [`Self::encode`] for this very place.
    pub(super) fn decode(place: Place, header: &[u8; HEADER_LEN]) -> Option<Self> {
        let (checked, sum) = header.split_last_chunk::<CHECKSUM_LEN>()?;
        let mut fields = Reader(checked);
        if fields.take::<4>()? != MAGIC || checksum(place, header) != *sum {
            return None;
        }
        let [tag, state, 0, 0] = fields.take::<4>()? else { return None };
        let len = u32::from_be_bytes(fields.take()?);
        let index = u32::from_be_bytes(fields.take()?);
        let sequence = Sequence(u64::from_be_bytes(fields.take()?));
        let staged_at = UnixMs(u64::from_be_bytes(fields.take()?));
        let durable = u64::from_be_bytes(fields.take()?);
        let id = ChunkId(fields.take()?);
        let upload = UploadId::new(fields.take()?);
        let sha256 = Sha256Hash::new(fields.take()?);
        let state = match state {
            0 => ChunkState::Staged,
            1 => ChunkState::Live,
            _ => return None,
        };
        let kind = match tag {
            1 if (1..=MAX_CHUNK_BYTES).contains(&usize::try_from(len).ok()?) => {
                EntryKind::Chunk(ChunkEntry { id, upload, index, state, staged_at, len, sha256 })
            }
            2 => EntryKind::UploadLive(upload),
            3 => EntryKind::UploadDead(upload),
            4 => EntryKind::ChunkDead { upload, id },
            5 => EntryKind::Durable,
            _ => return None,
        };
        Some(Self { kind, sequence, durable })
    }
}

/// [`HEADER_LEN`] as file offsets are counted.
pub(super) fn header_len() -> u64 {
    u64::try_from(HEADER_LEN).unwrap_or(u64::MAX)
}

fn state_byte(state: ChunkState) -> u8 {
    match state {
        ChunkState::Staged => 0,
        ChunkState::Live => 1,
    }
}

fn checksum(place: Place, header: &[u8; HEADER_LEN]) -> [u8; CHECKSUM_LEN] {
    let Place { segment: SegmentId(segment), offset } = place;
    let checked = header.get(..CHECKED_LEN).unwrap_or_default();
    let hash = Sha256Hash::of(&[&segment.to_be_bytes(), &offset.to_be_bytes(), checked].concat());
    let mut sum = [0; CHECKSUM_LEN];
    sum.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    sum
}

struct Writer {
    bytes: [u8; HEADER_LEN],
    at: usize,
}

impl Writer {
    /// The fields fill the header exactly: a test holds this to the layout.
    fn put(&mut self, field: &[u8]) {
        self.bytes.iter_mut().skip(self.at).zip(field).for_each(|(to, from)| *to = *from);
        self.at += field.len();
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLACE: Place = Place { segment: SegmentId(3), offset: 4096 };

    fn kind() -> impl Strategy<Value = EntryKind> {
        let upload = any::<[u8; 16]>().prop_map(UploadId::new);
        let len = 1..=u32::try_from(MAX_CHUNK_BYTES).unwrap();
        let chunk = (
            any::<[u8; 16]>(),
            upload.clone(),
            any::<u32>(),
            any::<bool>(),
            any::<u64>(),
            len,
            any::<[u8; 32]>(),
        );
        let chunk = chunk.prop_map(|(id, upload, index, live, staged_at, len, sha256)| {
            EntryKind::Chunk(ChunkEntry {
                id: ChunkId(id),
                upload,
                index,
                state: if live { ChunkState::Live } else { ChunkState::Staged },
                staged_at: UnixMs(staged_at),
                len,
                sha256: Sha256Hash::new(sha256),
            })
        });
        prop_oneof![
            chunk,
            upload.clone().prop_map(EntryKind::UploadLive),
            upload.clone().prop_map(EntryKind::UploadDead),
            (upload, any::<[u8; 16]>())
                .prop_map(|(upload, id)| EntryKind::ChunkDead { upload, id: ChunkId(id) }),
            Just(EntryKind::Durable),
        ]
    }

    #[test]
    fn the_fields_fill_the_header() {
        let fields = 4 + 4 + 4 + 4 + 8 + 8 + 8 + 16 + 16 + 32;
        assert_eq!(fields, CHECKED_LEN);
    }

    proptest! {
        #[test]
        fn an_entry_reads_back_in_its_own_place_only(kind in kind(), sequence: u64, durable: u64) {
            let entry = Entry { kind, sequence: Sequence(sequence), durable };
            let header = entry.encode(PLACE);
            prop_assert_eq!(Entry::decode(PLACE, &header), Some(entry));
            prop_assert_eq!(Entry::decode(Place { offset: 4097, ..PLACE }, &header), None);
            prop_assert_eq!(Entry::decode(Place { segment: SegmentId(4), ..PLACE }, &header), None);
        }

        #[test]
        fn no_flipped_bit_goes_unseen(kind in kind(), position in 0..HEADER_LEN, bit in 0u8..8) {
            let mut header = Entry { kind, sequence: Sequence(1), durable: 0 }.encode(PLACE);
            header[position] ^= 1 << bit;
            prop_assert_eq!(Entry::decode(PLACE, &header), None);
        }

        #[test]
        fn arbitrary_bytes_are_no_entry(bytes in any::<[[u8; 30]; 4]>()) {
            let header: [u8; HEADER_LEN] = bytes.concat().try_into().unwrap();
            prop_assert_eq!(Entry::decode(PLACE, &header), None);
        }
    }
}
