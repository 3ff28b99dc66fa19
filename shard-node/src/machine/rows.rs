//! The machine's own rows, as they are stored. Frozen: fields are only ever added with a new format version.

mod buckets;
mod dedup;
mod handover;

use holdfast_domain::{KeyGeneration, PolicyEpoch, Sha256Hash, Slot, UnixMs, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use self::{
    buckets::{Buckets, Split},
    dedup::{BucketRow, Entry, Ids, RecentRow, id_of},
    handover::{IncomingPhase, IncomingRow, OutgoingPhase, OutgoingRow, last_moves},
};
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
    RecentRow in Dedup;
    BucketRow in Dedup;
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
    /// It does, and what changes is noted for the group that will have it. Stored, it may mean [`Self::Frozen`]: see [`OutgoingRow::status`].
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

    /// The row with the status that the slot has now, which a hand-over may say. `outgoing` is read after this row was.
    pub(crate) fn now(
        self,
        slot: Slot,
        outgoing: impl FnOnce() -> Result<Option<OutgoingRow>, StateError>,
    ) -> Result<Self, StateError> {
        let status = match self.status {
            SlotStatus::Moving => outgoing()?.map_or(SlotStatus::Frozen, |outgoing| outgoing.status(slot)),
            status => status,
        };
        Ok(Self { status, ..self })
    }

    /// Whether commands of an epoch are taken, if the row is as of [`Self::now`].
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
mod tests;
