//! Where a group's rows are in the process's one engine.
//!
//! ```text
//! "P" ‖ group                                   incarnation that counts
//! "G" ‖ group ‖ incarnation ‖ table ‖ row key   everything else, numbers big-endian
//! ```
//! A snapshot is installed beside the present incarnation; then the pointer flips.

use bytes::Bytes;
use holdfast_domain::{FileId, GroupId, MapEpoch, Slot};
use holdfast_store::{KeyRange, records::PartitionToken};

use crate::limits::DEDUP_BUCKETS;

/// A complete set of a group's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(pub(crate) u64);

/// The kinds of rows. Numbers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// Consensus' applied position and membership. Not part of snapshots.
    Meta,
    /// Ordinal of the last applied command.
    Progress,
    /// What holds for the whole group.
    Group,
    /// Slots: epoch, state, high-water mark, digest, counts.
    Slots,
    /// Slot keyrings.
    SlotKeyrings,
    /// Partition keyrings.
    PartitionKeyrings,
    /// Sealed records.
    Records,
    /// Command ids that were applied.
    Dedup,
    /// Files.
    Files,
    /// Manifest pages.
    Pages,
    /// Slots that are handed over, or were last.
    Outgoing,
    /// Slots that are taken over, or were last.
    Incoming,
    /// Keys that changed in slots that are handed over.
    Feed,
}

impl Table {
    /// In the order of their numbers.
    const ALL: [Self; 13] = [
        Self::Meta,
        Self::Progress,
        Self::Group,
        Self::Slots,
        Self::SlotKeyrings,
        Self::PartitionKeyrings,
        Self::Records,
        Self::Dedup,
        Self::Files,
        Self::Pages,
        Self::Outgoing,
        Self::Incoming,
        Self::Feed,
    ];

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Meta => 0,
            Self::Progress => 1,
            Self::Group => 2,
            Self::Slots => 3,
            Self::SlotKeyrings => 4,
            Self::PartitionKeyrings => 5,
            Self::Records => 6,
            Self::Dedup => 7,
            Self::Files => 8,
            Self::Pages => 9,
            Self::Outgoing => 10,
            Self::Incoming => 11,
            Self::Feed => 12,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.number() == number)
    }
}

/// Key of the pointer to a group's incarnation.
pub(crate) fn pointer(group: GroupId) -> Bytes {
    [b"P".as_slice(), &group.0.to_be_bytes()].concat().into()
}

/// Everything of a group but its pointer, all incarnations.
pub(crate) fn group_range(group: GroupId) -> KeyRange {
    KeyRange::prefix([b"G".as_slice(), &group.0.to_be_bytes()].concat())
}

/// Start of the keys of one incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix([u8; 13]);

impl Prefix {
    pub(crate) fn new(group: GroupId, incarnation: Incarnation) -> Self {
        let mut prefix = [0; 13];
        let bytes = b"G".iter().copied().chain(group.0.to_be_bytes()).chain(incarnation.0.to_be_bytes());
        prefix.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Self(prefix)
    }

    /// Length of what stands before a row key.
    pub(crate) const fn table_len() -> usize {
        14
    }

    pub(crate) fn key(&self, table: Table, row: &[u8]) -> Bytes {
        [self.0.as_slice(), &[table.number()], row].concat().into()
    }

    /// A key from its table's number and its row key together, as snapshots have them.
    pub(crate) fn raw(&self, tail: &[u8]) -> Bytes {
        [self.0.as_slice(), tail].concat().into()
    }

    /// All rows of the incarnation.
    pub(crate) fn range(&self) -> KeyRange {
        KeyRange::prefix(self.0.to_vec())
    }

    /// Rows of a table whose keys start with `start`.
    pub(crate) fn rows(&self, table: Table, start: &[u8]) -> KeyRange {
        KeyRange::prefix(self.key(table, start))
    }

    /// A range of row keys, as a range of the engine's keys.
    pub(crate) fn within(&self, table: Table, rows: &KeyRange) -> KeyRange {
        let start = self.key(table, rows.start());
        match rows.end() {
            Some(end) => KeyRange::between(start, self.key(table, end)),
            None => self.rows(table, &[]).starting_at(start),
        }
    }
}

/// Table and row key behind the prefix of an incarnation.
pub(crate) fn tail(key: &[u8]) -> &[u8] {
    key.get(13..).unwrap_or_default()
}

/// Row key behind prefix and table.
pub(crate) fn row(key: &Bytes) -> Bytes {
    if key.len() < Prefix::table_len() { Bytes::new() } else { key.slice(Prefix::table_len()..) }
}

pub(crate) fn slot(slot: Slot) -> [u8; 2] {
    slot.number().to_be_bytes()
}

/// Reads the slot that a row key begins with.
pub(crate) fn slot_of(row: &[u8]) -> Option<Slot> {
    let (number, _) = row.split_first_chunk()?;
    Slot::try_from(u16::from_be_bytes(*number)).ok()
}

pub(crate) fn partition(slot: Slot, partition: PartitionToken) -> Vec<u8> {
    [slot.number().to_be_bytes().as_slice(), &partition.0].concat()
}

/// A partition's last command ids.
pub(crate) fn recent(slot: Slot, partition: PartitionToken) -> Vec<u8> {
    self::partition(slot, partition)
}

/// One of the buckets that a partition's command ids go to from there.
pub(crate) fn bucket(slot: Slot, partition: PartitionToken, bucket: u16) -> Vec<u8> {
    [slot.number().to_be_bytes().as_slice(), &partition.0, &bucket.to_be_bytes()].concat()
}

/// Which of a partition's rows of command ids it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DedupKey {
    /// [`recent`].
    Recent,
    /// [`bucket`].
    Bucket,
}

/// Reads the row key of command ids.
pub(crate) fn dedup_of(row: &[u8]) -> Option<DedupKey> {
    match *row.get(18..)? {
        [] => Some(DedupKey::Recent),
        [high, low] if u16::from_be_bytes([high, low]) < DEDUP_BUCKETS => Some(DedupKey::Bucket),
        _ => None,
    }
}

pub(crate) fn file(slot: Slot, file: FileId) -> Vec<u8> {
    [slot.number().to_be_bytes().as_slice(), file.as_bytes()].concat()
}

/// The slot that a file id begins with: so a chunk leads to its file's row.
pub(crate) fn file_slot(file: FileId) -> Option<Slot> {
    slot_of(file.as_bytes())
}

/// Reads the row key of a file.
pub(crate) fn file_of(row: &[u8]) -> Option<(Slot, FileId)> {
    let id = row.get(2..)?.try_into().ok()?;
    Some((slot_of(row)?, id))
}

/// A piece of what one command changed in a move's slots.
pub(crate) fn feed(since: MapEpoch, ordinal: u64, part: u16) -> Vec<u8> {
    [since.0.to_be_bytes().as_slice(), &ordinal.to_be_bytes(), &part.to_be_bytes()].concat()
}

/// Reads the row key of a feed.
pub(crate) fn feed_of(row: &[u8]) -> Option<(MapEpoch, u64, u16)> {
    let (since, rest) = row.split_first_chunk()?;
    let (ordinal, part) = rest.split_first_chunk()?;
    let part = u16::from_be_bytes(part.try_into().ok()?);
    Some((MapEpoch(u64::from_be_bytes(*since)), u64::from_be_bytes(*ordinal), part))
}

pub(crate) fn page(slot: Slot, file: FileId, page: u32) -> Vec<u8> {
    [slot.number().to_be_bytes().as_slice(), file.as_bytes(), &page.to_be_bytes()].concat()
}

/// Reads the row key of a manifest page.
pub(crate) fn page_of(row: &[u8]) -> Option<(Slot, FileId, u32)> {
    let (file, number) = row.split_at_checked(18)?;
    let (slot, file) = file_of(file)?;
    Some((slot, file, u32::from_be_bytes(number.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_table_has_its_own_number() {
        for (number, table) in (0..).zip(Table::ALL) {
            assert_eq!((table.number(), Table::from_number(number)), (number, Some(table)));
        }
        assert_eq!(Table::from_number(13), None);
    }

    #[test]
    fn groups_and_incarnations_do_not_mix() {
        let of = |group, incarnation| Prefix::new(GroupId(group), Incarnation(incarnation));
        let key = of(1, 2).key(Table::Slots, b"x");
        assert!(of(1, 2).range().contains(&key) && group_range(GroupId(1)).contains(&key));
        assert!(!of(1, 3).range().contains(&key) && !group_range(GroupId(2)).contains(&key));
        assert_eq!((tail(&key), &*row(&key)), (b"\x03x".as_slice(), b"x".as_slice()));
    }

    #[test]
    fn rows_of_command_ids_are_told_apart() {
        let (slot, token) = (Slot::try_from(300).unwrap(), PartitionToken([7; 16]));
        assert_eq!(dedup_of(&recent(slot, token)), Some(DedupKey::Recent));
        assert_eq!(dedup_of(&bucket(slot, token, DEDUP_BUCKETS - 1)), Some(DedupKey::Bucket));
        assert_eq!(dedup_of(&bucket(slot, token, DEDUP_BUCKETS)), None);
        assert_eq!(dedup_of(&[1; 19]), None);
    }

    proptest! {
        #[test]
        fn page_keys_read_back_and_arbitrary_ones_do_not_panic(number in 0u16..4096, id: [u8; 16], index: u32, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let (slot, id) = (Slot::try_from(number).unwrap(), FileId::new(id));
            prop_assert_eq!(page_of(&page(slot, id, index)), Some((slot, id, index)));
            prop_assert_eq!(file_of(&file(slot, id)), Some((slot, id)));
            prop_assert_eq!(feed_of(&feed(MapEpoch(3), 4, number)), Some((MapEpoch(3), 4, number)));
            let _ = (feed_of(&bytes), page_of(&bytes), file_of(&bytes), slot_of(&bytes), tail(&bytes), row(&bytes.clone().into()));
        }
    }
}
