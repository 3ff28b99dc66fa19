//! Every bound of the data path, each with its reason.

use std::time::Duration;

pub use holdfast_consensus::limits::MAX_COMMAND_BYTES;

/// Most preconditions and most operations of one batch: a module's own
/// ([`holdfast_sys_core::limits::MAX_COMMIT_OPS`]) and what uploads and renamed rows add to them.
pub const MAX_BATCH_ITEMS: usize = 1024;

/// How long a command id is remembered.
pub const DEDUP_TTL_MS: u64 = 24 * 60 * 60 * 1000;

/// Command ids in the row that every command of a partition rewrites: 1.5 KiB. When it is full, they go into buckets.
pub const DEDUP_RECENT: usize = 64;

/// Command ids for which there is one bucket: so many are in each on the average, and up to twice as many in one that is yet to be
/// split. Of 500 commands a day, each 64th changes ten rows beside the recent one, and the others none.
pub const DEDUP_PER_BUCKET: u32 = 48;

/// Most buckets of a partition. Ten thousand commands a day have 208.
pub const DEDUP_BUCKETS: u16 = 256;

/// Splits of one command: with two buckets more there is room for the [`DEDUP_RECENT`] ids that came.
pub const DEDUP_SPLITS: usize = 2;

/// Most command ids remembered in one bucket, 4 KiB; older ones go first. Of up to ten thousand commands a day, 95 are in one that is
/// yet to be split, on the average, and 177 in any once in ten thousand billion days. From 30,000 a day on some are forgotten early,
/// and there is never room for more than 45,000.
pub const DEDUP_BUCKET: usize = 176;

/// Tries of a command whose decision was overtaken, before the caller is told.
pub const COMMIT_TRIES: u32 = 3;

/// How long one command may wait for a majority. An isolated leader learns late that it is none: its callers go elsewhere sooner.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(3);

/// How long a read may wait for the leader's word and for this replica to follow: an election is over by then.
pub const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How long a writer waits where nobody leads: long enough for a new leader's first entry, short enough to ask another replica, as
/// this one may be cut off.
pub const LEADER_PATIENCE: Duration = Duration::from_millis(500);

/// Rows that one listing call visits.
pub const MAX_LIST_VISITS: usize = holdfast_sys_core::limits::MAX_SCAN_VISITS;

/// Stored bytes of rows that one listing call visits: what is opened and left out costs time too.
pub const MAX_LIST_VISITED_BYTES: usize = 64 * 1024 * 1024;

/// Rows of one page of a listing.
pub const MAX_LIST_ROWS: usize = 1_000;

/// Plain bytes after which a page ends: with framing a reply stays below the largest message.
pub const MAX_LIST_BYTES: usize = 1024 * 1024;

/// Longest cursor that is opened: a sealed record key and its place.
pub const MAX_CURSOR_BYTES: usize = 512;

/// Opened partitions kept ready in one group.
pub const MAX_OPEN_PARTITIONS: usize = 4096;

/// Chunk references in one manifest page.
pub const PAGE_CHUNKS: u32 = 256;

/// Manifest pages written by one command: 64 × 14 KiB stays below [`MAX_COMMAND_BYTES`].
pub const PAGES_PER_COMMAND: usize = 64;

/// Manifest pages that go into the command that publishes: content up to 64 MiB costs one command, more is written ahead of it.
pub const INLINE_PAGES: usize = 1;

/// Manifest pages of a deleted file that one command drops.
pub const PAGES_DROPPED_AT_ONCE: usize = 512;

/// Uploads whose chunks are kept by place in memory.
pub const MAX_STAGED_FILES: usize = 1024;

/// Segments rewritten in one round of housekeeping, so that it does not keep the disk to itself.
pub const COMPACTIONS_PER_ROUND: usize = 4;

/// Largest content: 4,096 manifest pages.
pub const MAX_CONTENT_BYTES: u64 = 256 * 1024 * 1024 * 1024;

/// Chunks that no command names are left alone this long: they may be ahead of the command that names them.
pub const ORPHAN_GRACE_MS: u64 = 60 * 60 * 1000;

/// Pause before the first round of housekeeping: a start has more urgent things to do.
pub const MAINTENANCE_DELAY: Duration = Duration::from_secs(2);

/// Pause between two rounds of housekeeping.
pub const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// File rows, and uploads with chunks, that one round of housekeeping looks at.
pub const MAINTENANCE_FILES: usize = 8192;

/// Chunk ids in one answer or request of a replica that fetches holes.
pub const MAX_FETCH_CHUNKS: usize = 1024;

/// Missing chunks that one look finds: 2 MiB of ids. The others are found when these are filled.
pub const MAX_HOLES: usize = 65_536;

/// Chunks on their way to one replica: 8 MiB.
pub const CHUNKS_ON_THE_WAY: usize = 32;

/// Chunks in one message to another replica: 2 MiB, below what a message may be.
pub const SPREAD_AT_ONCE: usize = 8;

/// Published files that are remembered for the next look for holes.
pub const MAX_NEWS: usize = 4096;

/// Chunks that wait for a replica that fetches them: 2 MiB.
pub const FETCH_QUEUE: usize = 8;

/// Largest encoded row of the machine's own tables.
pub const MAX_ROW_BYTES: usize = holdfast_store::limits::MAX_VALUE_BYTES;

/// Rows that one engine write of an `apply` or of a snapshot's install holds: a quarter of what the engine takes, as one
/// command more may come on top.
pub const MAX_WRITE_OPS: usize = holdfast_store::limits::MAX_BATCH_OPS / 4;

/// Bytes that one engine write of an `apply` or of a snapshot's install holds.
pub const MAX_WRITE_BYTES: usize = holdfast_store::limits::MAX_BATCH_BYTES / 4;

/// Names that one call keeps with their keys: a change of a file has two or three.
pub const MAX_CALL_NAMES: usize = 8;

/// Room beyond the store's reserve that new content leaves to records and to the log.
pub const CONTENT_HEADROOM_BYTES: u64 = 64 * 1024 * 1024;

/// Room beyond the store's reserve below which only what deletes is decided: the machine must never meet a full disk, as it would
/// stop.
pub const COMMIT_HEADROOM_BYTES: u64 = 16 * 1024 * 1024;

/// Rounds of housekeeping between two comparisons of all records with their slots' digests: an hour.
pub const ROUNDS_PER_VERIFICATION: u32 = 60;

/// Slots that one command activates: the engine keeps every page that a batch touched until the batch ends.
pub(crate) const SLOTS_AT_ONCE: u16 = 256;

/// Row keys in one row of a change feed, in bytes: well below [`MAX_ROW_BYTES`] with one longest key more.
pub(crate) const FEED_ROW_BYTES: usize = 16 * 1024;

/// Rows that one command of a slot move imports or drops: with their slots' rows below [`MAX_WRITE_OPS`].
pub(crate) const MAX_MOVED_ROWS: usize = 2048;

/// Bytes of rows after which a piece of a slot move ends: with one longest row more it stays below [`MAX_COMMAND_BYTES`].
pub(crate) const MAX_MOVED_BYTES: usize = 512 * 1024;
