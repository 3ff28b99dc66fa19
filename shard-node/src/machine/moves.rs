//! What goes through the two logs of a slot move. The protocol stands in [`crate::transfer`].
//!
//! Frozen as all commands: variants and fields are only ever added at the end.

use holdfast_domain::{GroupId, KeyGeneration, Lineage, MapEpoch, PolicyEpoch, Sha256Hash, Slot};
use serde::{Deserialize, Serialize};

use super::{Blob, SlotEpoch, Table, command::TokenBytes};

/// Inclusive ranges of slots.
pub type SlotRanges = Vec<(Slot, Slot)>;

/// The last moves out of a group and into it, with whether they are undecided.
pub type LastMoves = [Option<(MapEpoch, bool)>; 2];

/// A step of a move, in the source's or in the target's log. `since` is the move's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveCommand {
    /// Source: the slots go on serving, and what changes in them is noted from now on.
    BeginMove {
        /// Which move.
        since: MapEpoch,
        /// Who gets them.
        to: GroupId,
        /// Which slots.
        slots: SlotRanges,
        /// The map's that began it: of another one's epochs nothing follows.
        lineage: Lineage,
        /// Public half of the target's transfer key, verified by the proposer.
        transfer_key: [u8; 32],
    },
    /// Source: the slots take no more commands.
    FreezeSlots {
        /// Which move.
        since: MapEpoch,
    },
    /// Source: the move was given up, which the signed map says; the slots serve again.
    UnfreezeSlots {
        /// Which move.
        since: MapEpoch,
    },
    /// Source: the signed map gives the frozen slots to another group.
    PartWithSlots {
        /// Which move.
        since: MapEpoch,
    },
    /// Either: deletes rows of slots that are gone, and of feeds that nobody pulls.
    DropRows {
        /// Table numbers and row keys.
        rows: Vec<(u8, Blob)>,
    },
    /// Either: no rows of these slots are left; slots that are not gone stay as they are.
    ForgetSlots {
        /// Which.
        slots: SlotRanges,
        /// The group's last moves when that was seen: slots that went later may have rows.
        moves: LastMoves,
    },
    /// Target: the key to which the source seals the slots' keyrings; or the same key, sealed again under a newer DMK.
    PutTransferKey {
        /// Which move.
        since: MapEpoch,
        /// Who has the slots.
        from: GroupId,
        /// Which slots.
        slots: SlotRanges,
        /// DMK generation that sealed the private half.
        generation: KeyGeneration,
        /// The private half.
        sealed: Blob,
        /// The public half.
        public: [u8; 32],
    },
    /// Target: rows may come in.
    BeginImport {
        /// Which move.
        since: MapEpoch,
    },
    /// Target: rows of the source, byte-identical but for slot keyrings, which are sealed under this group's DMK.
    ImportRows {
        /// Which move.
        since: MapEpoch,
        /// Where the state must be.
        from: Position,
        /// Where it is then.
        to: Position,
        /// The rows.
        rows: Vec<MovedRow>,
    },
    /// Target: the slots are served here from now on. Refused unless everything up to the fence was imported.
    Activate {
        /// Which move.
        since: MapEpoch,
        /// What the source's log says.
        fence: Fence,
    },
    /// Target: the slots will never be activated by this move. Refused after they were.
    AbortImport {
        /// Which move.
        since: MapEpoch,
        /// Who has the slots.
        from: GroupId,
    },
    /// A new SK, with every partition keyring of the slot sealed under it.
    RekeySlot {
        /// Which slot.
        slot: Slot,
        /// Its epoch here.
        epoch: SlotEpoch,
        /// Hash of the present keyring row.
        previous: Sha256Hash,
        /// DMK generation that sealed the new one.
        generation: KeyGeneration,
        /// The new one.
        sealed: Blob,
        /// All of the slot's partitions.
        partitions: Vec<Rekeyed>,
    },
}

/// A partition's keyring under its slot's new key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rekeyed {
    /// Which partition.
    pub partition: TokenBytes,
    /// Hash of the present row.
    pub previous: Sha256Hash,
    /// The keyring.
    pub sealed: Blob,
}

/// One row on its way; `None` when it is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRow {
    /// Number of its table.
    pub table: u8,
    /// Its key.
    pub key: Blob,
    /// Its bytes.
    pub value: Option<Blob>,
}

/// How far an import is: first all rows, table by table, then what changed since [`MoveCommand::BeginMove`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Rows of a table from this key on, and all later tables.
    Rows {
        /// Place of the table in the order of travel.
        step: u8,
        /// First key that is missing.
        from: Blob,
    },
    /// Changes of commands from this ordinal on, without the first few of it.
    Feed {
        /// First command that is missing.
        next: u64,
        /// Changed rows of that very command that came already.
        skip: u32,
    },
}

impl Position {
    /// Nothing came yet.
    pub fn start() -> Self {
        Self::Rows { step: 0, from: Blob::default() }
    }
}

/// What a source's log says about slots that it froze.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Ordinal of the freeze: no command after it changed the slots.
    pub frozen: u64,
    /// Commands under older policies are refused.
    pub min_policy: PolicyEpoch,
    /// Every slot of the move, ascending.
    pub slots: Vec<FencedSlot>,
}

/// One frozen slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FencedSlot {
    /// Which.
    pub slot: Slot,
    /// Its epoch at the source.
    pub epoch: SlotEpoch,
    /// No record of it ever had a higher version.
    pub high_water: u64,
    /// Keyed sum of its records.
    pub digest: [u8; 32],
    /// Number of its records.
    pub records: u64,
    /// Number of its partitions.
    pub partitions: u32,
}

/// What travels, in this order: keys before what they open.
pub(crate) const TRAVEL: [Table; 6] =
    [Table::SlotKeyrings, Table::PartitionKeyrings, Table::Records, Table::Dedup, Table::Files, Table::Pages];

/// Every slot of the ranges.
pub(crate) fn slots_of(ranges: &[(Slot, Slot)]) -> impl Iterator<Item = Slot> {
    ranges.iter().flat_map(|(first, last)| {
        (first.number()..=last.number()).filter_map(|number| Slot::try_from(number).ok())
    })
}

/// Whether the ranges ascend, do not touch each other and are not empty.
pub(super) fn is_proper(ranges: &[(Slot, Slot)]) -> bool {
    let ordered = ranges.iter().all(|(first, last)| first <= last);
    let apart = ranges.windows(2).all(|pair| matches!(pair, [(_, before), (after, _)] if before < after));
    !ranges.is_empty() && ordered && apart
}
