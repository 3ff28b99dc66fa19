//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Largest single command: one record batch with its envelope, with room to spare.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;

/// Commands merged into one log entry. Must stay below [`crate::Command::ordinal`]'s 1,024.
pub const MAX_BATCH_COMMANDS: usize = 512;

/// Bytes of commands merged into one log entry (a single larger command still makes its own entry).
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// Entries of one group on their way from the proposer at most, when earlier ones do not come back.
pub const MAX_PROPOSALS_IN_FLIGHT: usize = 8;

/// How long commands wait for the entry before them, to go as one. Two entries at a time were measured to cost a tenth more CPU a command
/// under load, as each has its messages, its syncs and its wake-ups. One that takes longer than a disk's stall may be stuck.
pub const PROPOSAL_PATIENCE: Duration = Duration::from_millis(100);

/// Commands waiting for the proposer of one group.
pub const PROPOSE_QUEUE: usize = 4096;

/// Bytes of one encoded log entry: a batch, or one oversize command, with framing.
pub const MAX_ENTRY_BYTES: usize = 3 << 20;

/// Bytes of entries read for one replication message, so that one message stays below [`MAX_FRAME_BYTES`].
pub const MAX_APPEND_BYTES: usize = 1 << 20;

/// Plain bytes of one snapshot chunk, on disk and on the wire.
pub const SNAPSHOT_CHUNK_BYTES: usize = 256 << 10;

/// Largest snapshot that a member may send: far above the rows of a group, content chunks are not among them.
pub const MAX_SNAPSHOT_BYTES: u64 = 256 << 30;

/// Free space that an incoming snapshot leaves alone, once it lies there twice: as a file, and installed. The engines keep as much.
pub const SNAPSHOT_RESERVE_BYTES: u64 = 256 << 20;

/// Largest payload of one frame of the peer stream: one entry past [`MAX_APPEND_BYTES`], with framing.
pub const MAX_FRAME_BYTES: usize = 4 << 20;

/// Frames waiting on one peer stream, in each direction.
pub const FRAME_QUEUE: usize = 256;

/// Requests of one peer handled at the same time.
pub const MAX_PEER_REQUESTS: usize = 256;

/// Messages with entries on their way to one member: while one is synced there, the next is on the wire.
pub const MAX_APPENDS_IN_FLIGHT: usize = 4;

/// Bytes of recent entries that one group keeps in memory.
pub const TAIL_BYTES: usize = 4 << 20;

/// Operations waiting for the committer thread.
pub const COMMIT_QUEUE: usize = 4096;

/// Bytes that the committer writes with one fsync.
pub const COMMIT_BYTES: usize = 8 << 20;

/// Members of one group.
pub const MAX_MEMBERS: usize = 16;

/// Bytes of a member's address.
pub const MAX_ADDRESS_BYTES: usize = 256;

/// Time to reach a peer, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// First and last pause between attempts to reach a peer.
pub const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// See [`RECONNECT_MIN`].
pub const RECONNECT_MAX: Duration = Duration::from_secs(2);

/// How long a proposal or a read waits for a leader and its answer, unless the caller says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the applied position and membership that machines and snapshots keep.
pub const MAX_META_BYTES: usize = 64 << 10;

/// Entries that one message or one read carries.
pub const MAX_APPEND_ENTRIES: u64 = 300;

/// Entries handed to the machine with one call.
pub const MAX_APPLY_ENTRIES: usize = 64;

/// How long a replica that stops lets what is being asked of it end.
pub const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// How long a replica that stops lets answers arrive that were on their way.
pub const STOP_PAUSE: Duration = Duration::from_millis(20);

/// Terms and indexes from outside stay below this, so that counting on never overflows and
/// [`crate::Command::ordinal`] fits.
pub const MAX_NUMBER: u64 = 1 << 50;

/// How long a leader waits for a member to say whether it could lead.
pub const CAN_LEAD_PATIENCE: Duration = Duration::from_millis(500);

/// Groups that an answer to a ping names as stopped lately.
pub const MAX_TOLD_STOPS: usize = 64;

/// How often a process pings those that its sleeping groups depend on.
pub const PING_EVERY: Duration = Duration::from_millis(300);

/// How long a ping may take: longer than the longest stall of a disk that was measured, much shorter than patience.
pub const PING_PATIENCE: Duration = Duration::from_millis(800);

/// How long a process counts as out of reach after a ping that failed, so that its own pings learn of it.
pub const UNREACHABLE_FOR: Duration = Duration::from_secs(2);

/// How long a leader waits for its followers to agree to sleep: they hear no heartbeat meanwhile.
pub const SLEEP_PATIENCE: Duration = Duration::from_secs(1);

/// Groups of a process that fall asleep at the same time.
pub const MAX_FALLING_ASLEEP: usize = 8;

/// Members whose acknowledgements are remembered: those of a group before and after all of them were replaced.
pub const MAX_FLOORS: usize = 2 * MAX_MEMBERS;
