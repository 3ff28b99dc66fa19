//! Every bound of this module, each with its reason.

use std::time::Duration;

/// Longest name in bytes: what file systems take as a path.
pub const MAX_NAME_BYTES: usize = 4096;

/// Largest content that is kept inside its record instead of as chunks.
pub const MAX_INLINE_BYTES: usize = 16 * 1024;

/// Largest file: its manifest pages still fit one batch of the store.
pub const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Most files of one home: the quota counts content, and a file without any still takes a record with its name.
pub const MAX_FILES: u64 = 1_000_000;

/// Most content bytes in one message of a transfer: one chunk.
pub const MAX_DATA_BYTES: usize = 256 * 1024;

/// Largest request message: content, and names and ids beside it.
pub const MAX_REQUEST_BYTES: usize = 512 * 1024;

/// Rows of a listing when the caller does not say.
pub const DEFAULT_LIST: usize = 100;

/// Most rows of a listing.
pub const MAX_LIST: usize = 1000;

/// Rows that a listing reads at a time: a cursor stands behind whole reads only, so a read may overshoot [`MAX_LIST_BYTES`] by this many.
pub const LIST_STEP: usize = 64;

/// A listing ends early when its names reach this size, so that the reply fits a message.
pub const MAX_LIST_BYTES: usize = 1024 * 1024;

/// Reads of one listing call; one that finds nothing in all of them returns an empty page with a cursor.
pub const MAX_LIST_READS: usize = 32;

/// Longest cursor.
pub const MAX_CURSOR_BYTES: usize = 4096;

/// Finished uploads of a home that are remembered for retried commits: as many as all of its members together may have under way.
pub const DONE_RING: u32 = 64;

/// Tries of one change before the caller is told to try again: within a process changes of a home take turns, so conflicts come from a
/// change of leader only.
pub const MAX_TRIES: u32 = 4;

/// Pause before the second try; it doubles with each further one.
pub const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// Chunks of one upload that are being stored at a time: hides the round trip to the replicas.
pub const CHUNKS_IN_FLIGHT: usize = 4;

/// Chunks that a download or a hash check reads ahead.
pub const CHUNKS_AHEAD: usize = 2;

/// A transfer may keep the server waiting this long, and then only as long as it moves [`LEAST_BYTES_PER_SECOND`]; it resumes.
pub const TRANSFER_PATIENCE: Duration = Duration::from_secs(60);

/// Least rate of a transfer: a bad phone line, and 64 KiB in 10 s for whoever would hold all transfers of a node.
pub const LEAST_BYTES_PER_SECOND: u64 = 6_553;

/// Transfers of one home at a time, and of one account in all homes.
pub const MAX_TRANSFERS_PER_HOME: usize = 16;

/// Transfers in all: each holds up to [`CHUNKS_IN_FLIGHT`] + 1 chunks, so about 640 MiB at most.
pub const MAX_TRANSFERS: usize = 512;
