//! What goes through a group's log, and what comes back.
//!
//! Frozen: variants and fields are only ever added at the end. The frame is clear by design; names and values in it are tokens
//! and sealed bytes.

use holdfast_domain::{
    CommandId, FileId, KeyGeneration, PolicyEpoch, Sha256Hash, Slot, UnixMs,
    codec::{self, CodecError},
};
use holdfast_store::{
    limits::MAX_CHUNK_BYTES,
    records::{Etag, PartitionToken, RecordVersion, TOKEN_LEN},
    segments::ChunkId,
};
use serde::{Deserialize, Serialize};

use super::{Blob, moves::MoveCommand};
use crate::limits::{MAX_BATCH_ITEMS, MAX_COMMAND_BYTES, PAGE_CHUNKS};

/// How often a slot has changed hands; a command made for another epoch is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct SlotEpoch(pub u64);

impl SlotEpoch {
    /// A slot that never moved.
    pub const FIRST: Self = Self(1);
}

/// A partition in frames: the bytes of its [`PartitionToken`].
pub(crate) type TokenBytes = [u8; TOKEN_LEN];

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Changes of one partition.
    Batch(Batch),
    /// The group serves these slots from now on. Slots that it has, or had, stay as they are.
    ActivateSlots {
        /// Inclusive ranges.
        ranges: Vec<(Slot, Slot)>,
        /// Their epoch here.
        epoch: SlotEpoch,
    },
    /// Sets a slot's keyring if the present one is as expected.
    PutSlotKeyring {
        /// Which slot.
        slot: Slot,
        /// Its epoch here.
        epoch: SlotEpoch,
        /// Hash of the present row; `None` when there must be none.
        previous: Option<Sha256Hash>,
        /// DMK generation that sealed it.
        generation: KeyGeneration,
        /// The keyring.
        sealed: Blob,
    },
    /// Sets a partition's keyring if the present one is as expected.
    PutPartitionKeyring {
        /// Its slot.
        slot: Slot,
        /// The slot's epoch here.
        epoch: SlotEpoch,
        /// Which partition.
        partition: TokenBytes,
        /// Hash of the row of the slot's keyring under whose key it is sealed.
        under: Sha256Hash,
        /// Hash of the present row; `None` when there must be none.
        previous: Option<Sha256Hash>,
        /// Records under older data keys are refused from now on.
        min_generation: KeyGeneration,
        /// The keyring.
        sealed: Blob,
    },
    /// Commands decided under older policies are refused from now on.
    RequirePolicy {
        /// The oldest policy that counts.
        epoch: PolicyEpoch,
    },
    /// A step of a move of slots.
    Move(MoveCommand),
    /// Each replica keeps the digests of its slots as of this very command, to compare them with the others'.
    TakeDigests {
        /// Drawn by the proposer: names this comparison.
        mark: u64,
    },
    /// Keyrings under older generations of the group's key are refused from now on.
    RequireGeneration {
        /// The oldest generation that counts.
        generation: KeyGeneration,
    },
}

/// Changes of one partition, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Identifies it across retries.
    pub id: CommandId,
    /// The proposer's clock: ages command ids, decides nothing else.
    pub at: UnixMs,
    /// Slot of the home.
    pub slot: Slot,
    /// Epoch of the slot when this was decided.
    pub slot_epoch: SlotEpoch,
    /// The home, hidden.
    pub partition: TokenBytes,
    /// Policy under which it was decided.
    pub policy_epoch: PolicyEpoch,
    /// What must hold.
    pub preconditions: Vec<Pre>,
    /// What changes.
    pub ops: Vec<Op>,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pre {
    /// The record is this very sealing of this version.
    Is {
        /// Record key.
        key: Blob,
        /// Its version.
        version: u64,
        /// Its sealing.
        etag: [u8; 8],
    },
    /// There is no such record.
    Absent {
        /// Record key.
        key: Blob,
    },
}

impl Pre {
    /// [`Pre::Is`] of a stored record.
    pub fn is(key: Blob, version: RecordVersion, etag: Etag) -> Self {
        Self::Is { key, version: version.0, etag: etag.0 }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Writes a record; version and generation are in its stored form.
    Put {
        /// Record key.
        key: Blob,
        /// Stored record.
        value: Blob,
    },
    /// Deletes a record, if there is one.
    Delete {
        /// Record key.
        key: Blob,
    },
    /// A file begins, staged.
    BeginFile {
        /// Which.
        file: FileId,
        /// When it is swept unless it became live.
        expires: UnixMs,
        /// Key of the record that describes the upload; goes with it.
        upload_row: Blob,
    },
    /// Writes a manifest page of a staged file.
    PutPage {
        /// Which file.
        file: FileId,
        /// Page number, from 0.
        page: u32,
        /// Its chunks in order.
        chunks: Vec<ChunkRef>,
    },
    /// A staged file with a complete manifest becomes live.
    LiveFile {
        /// Which.
        file: FileId,
        /// Its chunks.
        chunks: u32,
    },
    /// A file is given up: its chunks may go. Nothing happens when it is gone.
    DeadFile {
        /// Which.
        file: FileId,
    },
    /// Drops manifest pages of a dead file.
    DropPages {
        /// Which file.
        file: FileId,
        /// Page numbers.
        pages: Vec<u32>,
    },
    /// Drops a dead file without pages.
    ForgetFile {
        /// Which.
        file: FileId,
    },
}

/// A chunk as its manifest names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkRef {
    /// Id of the chunk.
    pub id: [u8; 16],
    /// Length of the sealed chunk.
    pub len: u32,
    /// SHA-256 of the sealed chunk.
    pub sha256: Sha256Hash,
}

impl ChunkRef {
    /// The chunk's id.
    pub const fn chunk(&self) -> ChunkId {
        ChunkId(self.id)
    }
}

/// What became of a command. Frozen likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Applied now.
    Applied,
    /// The same id was applied before.
    Duplicate,
    /// A precondition did not hold, or a version or keyring was overtaken.
    Conflict,
    /// The slot is not served here, or no longer at that epoch.
    WrongSlot,
    /// Decided under a policy that no longer counts.
    StalePolicy,
    /// Sealed under a data key that no longer counts.
    RetiredGeneration,
    /// The frame breaks its own rules: a defect of its maker.
    Malformed,
    /// What was imported is not what the source froze.
    Differs,
}

impl Command {
    /// The frame.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_COMMAND_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = codec::encode(self)?;
        if bytes.len() > MAX_COMMAND_BYTES {
            return Err(CodecError::TooLong { len: bytes.len(), max: MAX_COMMAND_BYTES });
        }
        Ok(bytes)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_COMMAND_BYTES)
    }
}

impl Batch {
    /// The partition.
    pub const fn partition(&self) -> PartitionToken {
        PartitionToken(self.partition)
    }

    /// Whether it stays within the limits of its parts.
    pub(super) fn is_bounded(&self) -> bool {
        self.preconditions.len() <= MAX_BATCH_ITEMS
            && self.ops.len() <= MAX_BATCH_ITEMS
            && self.ops.iter().all(Op::is_bounded)
            && self.ops.iter().map(Op::rows).sum::<usize>() <= 4 * MAX_BATCH_ITEMS
    }
}

impl Op {
    /// Rows that it changes, at most.
    fn rows(&self) -> usize {
        match self {
            Self::DropPages { pages, .. } => pages.len(),
            _ => 1,
        }
    }

    fn is_bounded(&self) -> bool {
        let page_chunks = usize::try_from(PAGE_CHUNKS).unwrap_or(usize::MAX);
        match self {
            Self::PutPage { chunks, .. } => {
                (1..=page_chunks).contains(&chunks.len())
                    && chunks
                        .iter()
                        .all(|chunk| usize::try_from(chunk.len).is_ok_and(|len| len <= MAX_CHUNK_BYTES))
            }
            Self::Put { .. }
            | Self::Delete { .. }
            | Self::BeginFile { .. }
            | Self::LiveFile { .. }
            | Self::DeadFile { .. }
            | Self::DropPages { .. }
            | Self::ForgetFile { .. } => true,
        }
    }
}

impl Outcome {
    /// The answer's bytes.
    ///
    /// # Errors
    /// Never in practice: a unit variant always encodes.
    pub fn encode(self) -> Result<Vec<u8>, CodecError> {
        codec::encode(&self)
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// See [`CodecError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, 16)
    }
}
