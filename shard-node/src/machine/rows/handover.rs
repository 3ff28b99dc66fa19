//! Rows of slots on their way between groups.

use holdfast_domain::{GroupId, KeyGeneration, Lineage, MapEpoch, Slot};
use serde::{Deserialize, Serialize};

use super::super::{
    Blob,
    moves::{LastMoves, Position, SlotRanges},
};
use super::SlotStatus;

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

    /// What a slot is that is stored as [`SlotStatus::Moving`]. A freeze changes this row alone: a row for each slot would be written while
    /// nobody serves them. Whoever read the slot's row and then another move's, or this one's after it ended, must not serve either.
    pub(crate) fn status(&self, slot: Slot) -> SlotStatus {
        let has = |(first, last): &(Slot, Slot)| (*first..=*last).contains(&slot);
        match self.phase {
            OutgoingPhase::Moving if self.slots.iter().any(has) => SlotStatus::Moving,
            _ => SlotStatus::Frozen,
        }
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

/// What [`super::super::MoveCommand::ForgetSlots`] compares.
pub(crate) fn last_moves(outgoing: Option<&OutgoingRow>, incoming: Option<&IncomingRow>) -> LastMoves {
    [outgoing.map(|row| (row.since, row.is_open())), incoming.map(|row| (row.since, row.is_open()))]
}
