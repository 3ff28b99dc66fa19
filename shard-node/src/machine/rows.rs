//! The machine's own rows, as they are stored. Frozen: fields are only ever added with a new format version.

use holdfast_domain::{
    CommandId, GroupId, KeyGeneration, Lineage, MapEpoch, PolicyEpoch, Sha256Hash, UnixMs, codec,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Blob, ChunkRef, SlotEpoch, StateError, Table,
    command::TokenBytes,
    moves::{LastMoves, Position, SlotRanges},
};
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
    FileRow in Files;
    PageRow in Pages;
    OutgoingRow in Outgoing;
    IncomingRow in Incoming;
    FeedRow in Feed;
}

/// Ordinal of the last applied command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress(pub(crate) u64);

/// What holds for the whole group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct GroupRow {
    pub(crate) min_policy: PolicyEpoch,
    /// Nothing is sealed under an older generation of the group's key any more.
    pub(crate) min_generation: KeyGeneration,
}

/// Whether a slot takes commands. [`crate::transfer`] says who goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SlotStatus {
    /// It does.
    Active,
    /// It does, and what changes is noted for the group that will have it.
    Moving,
    /// No more, unless the move is given up.
    Frozen,
    /// Never again in this epoch; its rows are to be dropped.
    Gone,
    /// Likewise, and its rows were dropped. Stays, so that nobody takes the slot for one that was never here.
    Left,
    /// Not yet: its rows come in.
    Importing,
}

/// One slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SlotRow {
    pub(crate) epoch: SlotEpoch,
    pub(crate) status: SlotStatus,
    /// Another group knew its keys: they are to be replaced.
    pub(crate) stale_key: bool,
    /// No record of the slot, deleted ones included, ever had a higher version.
    pub(crate) high_water: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) records: u64,
    pub(crate) record_bytes: u64,
    /// Partition keyrings.
    pub(crate) partitions: u32,
}

impl SlotRow {
    pub(crate) const fn activated(epoch: SlotEpoch) -> Self {
        Self {
            epoch,
            status: SlotStatus::Active,
            stale_key: false,
            high_water: 0,
            digest: [0; 32],
            records: 0,
            record_bytes: 0,
            partitions: 0,
        }
    }

    /// Whether commands of an epoch are taken.
    pub(crate) fn serves(&self, epoch: SlotEpoch) -> bool {
        matches!(self.status, SlotStatus::Active | SlotStatus::Moving) && self.epoch == epoch
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

/// Command ids of one bucket that were applied, oldest first, with their times.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct DedupRow {
    pub(crate) ids: Vec<(CommandId, UnixMs)>,
}

impl DedupRow {
    pub(crate) fn has(&self, id: CommandId) -> bool {
        self.ids.iter().any(|(seen, _)| *seen == id)
    }
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

/// Slots that this group hands over, or handed over last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutgoingRow {
    pub(crate) since: MapEpoch,
    pub(crate) to: GroupId,
    pub(crate) slots: SlotRanges,
    /// Of the map that began it.
    pub(crate) lineage: Lineage,
    /// Public half of the target's transfer key.
    pub(crate) transfer_key: [u8; 32],
    /// Ordinal of the command that began it: later changes are in the feed.
    pub(crate) began: u64,
    pub(crate) phase: OutgoingPhase,
}

/// How far a hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OutgoingPhase {
    /// Its slots serve.
    Moving,
    /// They do not.
    Frozen { at: u64 },
    /// It was given up.
    Kept,
    /// It succeeded.
    Parted,
}

impl OutgoingRow {
    /// Whether its slots are neither gone nor kept yet.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, OutgoingPhase::Moving | OutgoingPhase::Frozen { .. })
    }
}

/// Slots that this group takes over, or took over last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IncomingRow {
    pub(crate) since: MapEpoch,
    pub(crate) from: GroupId,
    pub(crate) slots: SlotRanges,
    /// The transfer key: who sealed its private half, that half, and the public one.
    pub(crate) generation: KeyGeneration,
    pub(crate) sealed: Blob,
    pub(crate) public: [u8; 32],
    pub(crate) phase: IncomingPhase,
}

/// How far a take-over is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IncomingPhase {
    /// The transfer key exists.
    Prepared,
    /// Rows come in.
    Importing { position: Position },
    /// The slots are served here.
    Activated,
    /// They never will be, by this move.
    Aborted,
}

impl IncomingRow {
    /// Whether it can still become either.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, IncomingPhase::Prepared | IncomingPhase::Importing { .. })
    }
}

/// What [`super::MoveCommand::ForgetSlots`] compares.
pub(crate) fn last_moves(outgoing: Option<&OutgoingRow>, incoming: Option<&IncomingRow>) -> LastMoves {
    [outgoing.map(|row| (row.since, row.is_open())), incoming.map(|row| (row.since, row.is_open()))]
}

/// Keys that one command changed: numbers of tables, and row keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeedRow {
    pub(crate) changed: Vec<(u8, Blob)>,
}

/// What a compare-and-set of a keyring compares.
pub(crate) fn fingerprint(row: &[u8]) -> Sha256Hash {
    Sha256Hash::of(row)
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use holdfast_domain::{Sha256Hash, Slot};
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
        frozen(&GroupRow { min_policy: PolicyEpoch(3), min_generation: KeyGeneration(2) }, next());
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
        let seen = |number| (CommandId::new([number; 16]), UnixMs(300));
        frozen(&DedupRow { ids: vec![seen(4), seen(5)] }, next());
        let state = FileState::Staged { expires: UnixMs(300), upload_row: vec![6].into() };
        frozen(&FileRow { partition: [7; 16], state }, next());
        frozen(&FileRow { partition: [7; 16], state: FileState::Live { chunks: 300 } }, next());
        frozen(&FileRow { partition: [7; 16], state: FileState::Dead }, next());
        let chunk = ChunkRef { id: [8; 16], len: 300, sha256: Sha256Hash::new([9; 32]) };
        frozen(&PageRow { chunks: vec![chunk, chunk] }, next());
        for status in [SlotStatus::Moving, SlotStatus::Gone, SlotStatus::Left, SlotStatus::Importing] {
            frozen(&SlotRow { status, stale_key: true, partitions: 300, ..slot }, next());
        }
        let (since, slots) =
            (MapEpoch(300), vec![(Slot::try_from(1).unwrap(), Slot::try_from(300).unwrap())]);
        for phase in [
            OutgoingPhase::Moving,
            OutgoingPhase::Frozen { at: 9 },
            OutgoingPhase::Kept,
            OutgoingPhase::Parted,
        ] {
            let (to, slots) = (GroupId(2), slots.clone());
            frozen(
                &OutgoingRow {
                    since,
                    to,
                    slots,
                    lineage: Lineage(0),
                    transfer_key: [3; 32],
                    began: 8,
                    phase,
                },
                next(),
            );
        }
        let position = Position::Feed { next: 300, skip: 1 };
        for phase in [
            IncomingPhase::Prepared,
            IncomingPhase::Importing { position },
            IncomingPhase::Activated,
            IncomingPhase::Aborted,
        ] {
            let (from, slots, sealed) = (GroupId(1), slots.clone(), vec![1].into());
            let generation = KeyGeneration(2);
            frozen(&IncomingRow { since, from, slots, generation, sealed, public: [3; 32], phase }, next());
        }
        frozen(&FeedRow { changed: vec![(6, vec![1, 2].into())] }, next());
    }

    proptest! {
        #[test]
        fn arbitrary_rows_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (Progress::decode(&bytes), GroupRow::decode(&bytes), SlotRow::decode(&bytes));
            let _ = (SlotKeyringRow::decode(&bytes), PartitionKeyringRow::decode(&bytes), DedupRow::decode(&bytes));
            let _ = (FileRow::decode(&bytes), PageRow::decode(&bytes));
            let _ = (OutgoingRow::decode(&bytes), IncomingRow::decode(&bytes), FeedRow::decode(&bytes));
        }
    }
}
