//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Largest configuration file, and largest description in a credential directory: people write them.
pub const MAX_CONFIG_BYTES: u64 = 256 * 1024;

/// Most contexts in a configuration file.
pub const MAX_CONTEXTS: usize = 256;

/// Most registry addresses of a context: a cluster has at most 5 voters, and some may have moved.
pub const MAX_REGISTRIES: usize = 16;

/// Largest reply message that is read: a whole signed shard map (4 MiB) fits.
pub const MAX_REPLY_BYTES: usize = 5 * 1024 * 1024;

/// Time without progress after which an operation gives up, unless the caller says otherwise.
pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// A single reply that does not come within this time counts as none.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Most registry addresses that are learned: 5 voters and their successors. Whom the context names is kept beside them.
pub const MAX_LEARNED: usize = 8;

/// Asking for the registry's members is a favour to later commands: it holds this one up no longer.
pub const LEARN_TIMEOUT: Duration = Duration::from_secs(2);

/// A unary call without a reply for this long is repeated at another replica: a machine without power says nothing. Each such try gets
/// twice the time of the one before, up to [`CALL_TIMEOUT`].
pub const TRY_TIMEOUT: Duration = Duration::from_secs(3);

/// First pause before another try; it doubles each time.
pub const FIRST_PAUSE_MS: u64 = 25;

/// Longest pause before another try.
pub const LONGEST_PAUSE_MS: u64 = 2_000;

/// Longest pause after a round in which no replica helped, in the first seconds: a new leader is not kept waiting.
pub const ROUND_PAUSE_MS: u64 = 200;

/// Later such a pause is at most this part of the time that was waited already.
pub const PATIENT_SHARE: u64 = 8;

/// Replicas that are asked one after the other without a pause: more than a group has.
pub const MAX_ROUND: u32 = 8;

/// First pause while slots are handed over, which takes less than 200 ms; it doubles after each [`MOVING_TRIES`].
pub const MOVING_PAUSE_MS: u64 = 10;

/// See [`MOVING_PAUSE_MS`].
pub const MOVING_TRIES: u32 = 16;

/// Longest age of a stale read that nodes answer.
pub const MAX_STALENESS: Duration = Duration::from_secs(10 * 60);

/// Asking one node for its map.
pub const ASK_NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// Renewing a certificate that is still good holds a command up no longer.
pub const RENEW_AHEAD_TIMEOUT: Duration = Duration::from_secs(3);

/// Content of this size or less goes in one call.
pub const SMALL_FILE_BYTES: u64 = 16 * 1024;

/// Bytes in one message of a stream.
pub const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks between the disk and the network: reads ahead, and bounds the memory of a transfer.
pub const CHUNKS_IN_FLIGHT: usize = 4;

/// Bytes sent in one call; after each the server says how much is durable.
pub const APPEND_CALL_BYTES: u64 = 64 * 1024 * 1024;

/// Files asked for in one page of a listing.
pub const PAGE_FILES: u32 = 500;

/// Rows asked for in one page of a listing of projects or members.
pub const PAGE_ROWS: u32 = 500;

/// The server forgets an unfinished upload after this time, and so does the client.
pub const UPLOAD_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// Entries of a directory tree that are read ahead of the transfers.
pub const WALK_AHEAD: usize = 256;

/// Most parallel transfers of a recursive put or get.
pub const MAX_JOBS: u16 = 64;

/// Life of an operators' request from signature to application.
pub const ADMISSION_LIFE_MS: u64 = 10 * 60 * 1000;

/// Largest file with a request for another operator to sign.
pub const MAX_SIGNED_ADMISSION: usize = 80 * 1024;

/// Invites that one command makes.
pub const MAX_INVITES: u16 = 1_000;

/// Capabilities are asked for this often: a role that was given shows that soon.
pub const CAPABILITIES_EVERY: Duration = Duration::from_secs(60);

/// Least time between two such questions: an application that is refused all the time does not ask all the time.
pub const CAPABILITIES_PAUSE: Duration = Duration::from_secs(1);

/// Most modules, actions and screens of one answer.
pub const MAX_CAPABILITIES: usize = 16 * 1024;

/// What is asked for as the life of a session; nodes give no more.
pub const SESSION_MS: u64 = 5 * 60 * 1000;

/// Largest request of a session whose requests are signed: a node's largest message with its framing.
pub const MAX_SIGNED_BYTES: usize = 4 * 1024 * 1024 + 5;

/// How often an upload is sent again because its home went to another group between its last part and its commit.
pub const UPLOAD_RESENDS: u32 = 3;
