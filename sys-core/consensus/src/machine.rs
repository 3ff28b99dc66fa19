//! The state machine behind a group: bytes only.
//!
//! Durability: `apply` may leave its writes in memory, as the log is synced first; [`StateMachine::barrier`] makes
//! everything applied so far durable. A group always does barrier → snapshot file → purge of the log up to it, so a
//! machine that comes back older than the purge point, or empty, is rebuilt from the snapshot and the log.

use std::io::{Read, Write};

/// Makes everything that was applied before it was handed out durable. May block: runs off the async threads.
pub type Barrier = Box<dyn FnOnce() -> Result<(), MachineError> + Send>;

/// One committed command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    /// Index of its log entry; several commands may share one.
    pub index: u64,
    /// Place in its entry.
    pub sub: u32,
    /// Term of the leader that proposed it.
    pub term: u64,
    /// What was proposed.
    pub bytes: &'a [u8],
}

impl Command<'_> {
    /// A number that grows from command to command and is the same on every replica: for ids drawn from the log.
    pub fn ordinal(&self) -> u64 {
        (self.index << 10) | (u64::from(self.sub) & 0x3ff)
    }
}

/// The machine broke: the group stops on this replica.
#[derive(Debug, thiserror::Error)]
#[error("state machine failed")]
pub struct MachineError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl MachineError {
    /// Wraps the machine's own error.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl From<std::io::Error> for MachineError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}

/// A point in time of the machine, unaffected by what is applied later.
pub trait SnapshotView: Send {
    /// Streams the state. Blocking; the writer seals, throttles and syncs.
    ///
    /// # Errors
    /// The writer's or the machine's; the snapshot is dropped.
    fn write_to(self: Box<Self>, out: &mut dyn Write) -> Result<(), MachineError>;
}

/// Deterministic state of one group. Calls never overlap. Readers share the state by the machine's own means
/// (for example an `Arc<RwLock<_>>`) and order themselves with [`crate::Group::read_index`].
pub trait StateMachine: Send + 'static {
    /// The `meta` of the last `apply` or `install` that survived, or `None` for an empty machine.
    ///
    /// # Errors
    /// When the state cannot be read.
    fn load_meta(&mut self) -> Result<Option<Vec<u8>>, MachineError>;

    /// Applies commands in order and stores `meta` (applied position and membership, opaque) atomically with them.
    /// Returns one result a command. `commands` may be empty: then only `meta` moves.
    ///
    /// # Errors
    /// Only for failures of this machine; a refused command is a result. The group stops here.
    fn apply(&mut self, commands: &[Command<'_>], meta: &[u8]) -> Result<Vec<Vec<u8>>, MachineError>;

    /// See [`Barrier`]. A machine in memory keeps the default.
    fn barrier(&mut self) -> Barrier {
        Box::new(|| Ok(()))
    }

    /// The state as of now. Must be quick: it holds up `apply`.
    ///
    /// # Errors
    /// When no view can be taken.
    fn snapshot(&mut self) -> Result<Box<dyn SnapshotView>, MachineError>;

    /// Replaces the whole state by a snapshot and its `meta`, atomically: after a crash either the old or the new.
    /// Blocking. The reader fails on a damaged or cut snapshot.
    ///
    /// # Errors
    /// The old state must still be whole.
    fn install(&mut self, snapshot: &mut dyn Read, meta: &[u8]) -> Result<(), MachineError>;
}
