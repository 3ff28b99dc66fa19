//! The machine's own rows, as they are stored. Frozen: fields are only ever added with a new format version.

use holdfast_domain::{CommandId, KeyGeneration, PolicyEpoch, Sha256Hash, UnixMs, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Blob, ChunkRef, SlotEpoch, StateError, Table, command::TokenBytes};
use crate::limits::MAX_ROW_BYTES;

/// A row of one table.
pub(crate) trait Row: Serialize + DeserializeOwned {
    const TABLE: Table;

    fn encode(&self) -> Result<Vec<u8>, StateError> {
        codec::encode(self).map_err(|source| StateError::Row { table: Self::TABLE.number(), source })
    }

    fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        codec::decode(bytes, MAX_ROW_BYTES)
            .map_err(|source| StateError::Row { table: Self::TABLE.number(), source })
    }
}

macro_rules! rows {
    ($($row:ident in $table:ident;)*) => {
        $(impl Row for $row {
            const TABLE: Table = Table::$table;
        })*
    };
}

rows! {
    Progress in Progress;
    GroupRow in Group;
    SlotRow in Slots;
    SlotKeyringRow in SlotKeyrings;
    PartitionKeyringRow in PartitionKeyrings;
    DedupRow in Dedup;
    DedupOrderRow in DedupOrder;
    DedupRing in DedupRing;
    FileRow in Files;
    PageRow in Pages;
}

/// Ordinal of the last applied command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress(pub(crate) u64);

/// What holds for the whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) min_policy: PolicyEpoch,
}

/// Whether a slot takes commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SlotStatus {
    Active,
    Frozen,
}

/// One slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRow {
    pub(crate) epoch: SlotEpoch,
    pub(crate) status: SlotStatus,
    /// No record of the slot, deleted ones included, ever had a higher version.
    pub(crate) high_water: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) records: u64,
    pub(crate) record_bytes: u64,
}

impl SlotRow {
    pub(crate) const fn activated(epoch: SlotEpoch) -> Self {
        Self {
            epoch,
            status: SlotStatus::Active,
            high_water: 0,
            digest: [0; 32],
            records: 0,
            record_bytes: 0,
        }
    }

    /// Whether commands of an epoch are taken.
    pub(crate) fn serves(&self, epoch: SlotEpoch) -> bool {
        self.status == SlotStatus::Active && self.epoch == epoch
    }
}

/// A slot's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotKeyringRow {
    /// DMK generation that sealed it.
    pub(crate) generation: KeyGeneration,
    pub(crate) sealed: Blob,
}

/// A partition's keyring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionKeyringRow {
    /// Records under older data keys are refused.
    pub(crate) min_generation: KeyGeneration,
    pub(crate) sealed: Blob,
}

/// A command id that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DedupRow {
    pub(crate) at: UnixMs,
}

/// The same, by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DedupOrderRow {
    pub(crate) id: CommandId,
    pub(crate) at: UnixMs,
}

/// Numbers of the oldest and of the next command id of a partition; without gaps in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct DedupRing {
    pub(crate) oldest: u64,
    pub(crate) next: u64,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileRow {
    pub(crate) partition: TokenBytes,
    pub(crate) state: FileState,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FileState {
    /// Chunks come in.
    Staged { expires: UnixMs, upload_row: Blob },
    /// A manifest holds its chunks.
    Live { chunks: u32 },
    /// Its chunks and pages are being removed.
    Dead,
}

/// One manifest page. In clear: ids, lengths and hashes of sealed chunks stand in the segments' headers as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PageRow {
    pub(crate) chunks: Vec<ChunkRef>,
}

/// What a compare-and-set of a keyring compares.
pub(crate) fn fingerprint(row: &[u8]) -> Sha256Hash {
    Sha256Hash::of(row)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use holdfast_domain::Sha256Hash;
    use proptest::prelude::*;

    use super::*;

    fn frozen<R: Row + PartialEq + Debug>(row: &R, hex: &str) {
        let encoded = hex::encode(row.encode().unwrap());
        assert_eq!(encoded, hex, "table {:?}", R::TABLE);
        assert_eq!(R::decode(&hex::decode(hex).unwrap()).unwrap(), *row);
    }

    #[test]
    fn frozen_rows_still_decode() {
        let mut lines = include_str!("../../frozen/rows-1.hex").lines();
        let mut next = || lines.next().unwrap_or_default();
        frozen(&Progress(300), next());
        frozen(&GroupRow { min_policy: PolicyEpoch(3) }, next());
        let slot = SlotRow {
            high_water: 7,
            digest: [8; 32],
            records: 9,
            record_bytes: 500,
            ..SlotRow::activated(SlotEpoch(2))
        };
        frozen(&slot, next());
        frozen(&SlotRow { status: SlotStatus::Frozen, ..slot }, next());
        frozen(&SlotKeyringRow { generation: KeyGeneration(2), sealed: vec![1, 2].into() }, next());
        frozen(&PartitionKeyringRow { min_generation: KeyGeneration(2), sealed: vec![3].into() }, next());
        frozen(&DedupRow { at: UnixMs(300) }, next());
        frozen(&DedupOrderRow { id: CommandId::new([4; 16]), at: UnixMs(300) }, next());
        frozen(&DedupRing { oldest: 5, next: 300 }, next());
        let state = FileState::Staged { expires: UnixMs(300), upload_row: vec![6].into() };
        frozen(&FileRow { partition: [7; 16], state }, next());
        frozen(&FileRow { partition: [7; 16], state: FileState::Live { chunks: 300 } }, next());
        frozen(&FileRow { partition: [7; 16], state: FileState::Dead }, next());
        let chunk = ChunkRef { id: [8; 16], len: 300, sha256: Sha256Hash::new([9; 32]) };
        frozen(&PageRow { chunks: vec![chunk, chunk] }, next());
    }

    proptest! {
        #[test]
        fn arbitrary_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (Progress::decode(&bytes), GroupRow::decode(&bytes), SlotRow::decode(&bytes), DedupRing::decode(&bytes));
            let _ = (SlotKeyringRow::decode(&bytes), PartitionKeyringRow::decode(&bytes), DedupRow::decode(&bytes));
            let _ = (DedupOrderRow::decode(&bytes), FileRow::decode(&bytes), PageRow::decode(&bytes));
        }
    }
}
