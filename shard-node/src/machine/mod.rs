//! The replicated state of one group: sealed rows, and commands that change them without opening them.
//!
//! Invariants: `apply` depends on the commands and the state alone, so that all replicas agree; a command is applied entirely or not
//! at all, with its id, in one engine write; no two sealings ever share a key and a version; a slot takes commands of its own
//! epoch only, so that none is accepted after it moved.
//!
//! The machine holds the DMK for one purpose: the digest keys of the slots.

mod apply;
mod blob;
mod command;
mod error;
mod keys;
mod layout;
mod moves;
mod rows;
mod seen;
mod shard_machine;
mod snapshot;
mod state;
mod travel;
mod txn;
mod verify;

#[cfg(test)]
mod tests;

#[cfg(test)]
use self::layout::group_range;
pub use self::{
    blob::Blob,
    command::{Batch, ChunkRef, Command, Op, Outcome, Pre, SlotEpoch},
    error::StateError,
    keys::{GroupKeys, KeysClosed},
    moves::{Fence, FencedSlot, LastMoves, MoveCommand, MovedRow, Position, Rekeyed, SlotRanges},
    state::{Digests, GroupState, StateStats, Taken},
};
use self::{layout::Incarnation, shard_machine::ShardMachine};
pub(crate) use self::{
    layout::{
        Prefix, Table, file as file_key, file_of, file_slot, page as page_key, page_of,
        partition as partition_key, slot as slot_key, slot_of,
    },
    moves::slots_of,
    rows::{
        FileRow, FileState, GroupRow, IncomingPhase, IncomingRow, OutgoingPhase, OutgoingRow, PageRow,
        PartitionKeyringRow, Row, SlotKeyringRow, SlotRow, SlotStatus, fingerprint, last_moves,
    },
    state::Reader,
};
