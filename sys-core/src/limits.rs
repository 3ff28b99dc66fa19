//! Every bound of this crate, each with its reason.

use std::time::Duration;

/// Largest value of one record that a module may write: sealed with its head it stays below the store's 64 KiB.
pub const MAX_VALUE_BYTES: usize = 40 * 1024;

/// Longest age of what a stale read may show: a replica that hears nothing for longer is lost to its group, not late.
pub const MAX_STALENESS: Duration = Duration::from_secs(10 * 60);

/// Most uploads under way in one home: each holds a row, and disk space up to its declared size.
pub const MAX_UPLOADS: usize = 64;

/// Most operations in one command of a module, content pages not counted.
pub const MAX_COMMIT_OPS: usize = 128;

/// Rows that one call of a listing visits, given or not: about a fifth of a second.
pub const MAX_SCAN_VISITS: usize = 20_000;

/// Places that one scan goes through: look-ups that a caller's scope needs, one for each project or the like.
pub const MAX_SCAN_PREFIXES: usize = 64;

/// Largest row of a table: with its name and the cipher's overhead 128 of them fit a command.
pub const MAX_ROW_BYTES: usize = 32 * 1024;

/// Most components of a row's key: a row of an index has two more, see [`MAX_COMPONENTS`](crate::module::MAX_COMPONENTS).
pub use holdfast_proto::declared::MAX_KEY_FIELDS;

/// Most elements of an indexed set: replacing all of them still fits a command.
pub const MAX_INDEXED_ELEMENTS: usize = 32;

/// Most rows of one page of a table.
pub const MAX_PAGE_ROWS: usize = 1_000;

/// Tries of a change that others overtake, before its caller is told.
pub const MAX_CHANGE_TRIES: u32 = 5;

/// Pause after the first of these tries; doubled each time.
pub const CHANGE_RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Scopes of callers that are kept for one action: a kilobyte each, with at most [`MAX_KEPT_PROJECTS`] in it.
pub const MAX_KEPT_SCOPES: usize = 256;

/// Projects in a standing whose scope is kept. One in more of them is long, and worked out each time.
pub const MAX_KEPT_PROJECTS: usize = 8;

/// Largest request body of a unary call, and largest single message of a stream: a 256 KiB chunk, join evidence (event log included)
/// and wraps fit.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Streams that one connection may have open: a client's parallel transfers, or a peer's many groups over one connection.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 256;

/// Calls that one connection may have running: what its open streams can hold, so that nothing queues unseen.
pub const MAX_CALLS_PER_CONNECTION: usize = 256;

/// Age at which a connection is asked to go, so that new leaves, trust and bans reach every peer even without a watch.
pub const MAX_CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);

/// After that, how long its open calls may go on.
pub const MAX_CONNECTION_AGE_GRACE: Duration = Duration::from_secs(10 * 60);

/// Ping of an idle connection: finds peers that vanished.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long such a peer has to answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that open calls have when the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest header list: our callers send a dozen short ones.
pub const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;

/// Most banned subjects held at a time: the registry sends the list whole, and this many still fit a message.
pub const MAX_BANS: usize = 100_000;

/// Longest path of a method that is looked at before it is called unknown.
pub const MAX_METHOD_PATH_BYTES: usize = 512;

/// Largest configuration file.
pub const MAX_CONFIG_BYTES: u64 = 256 * 1024;

/// Addresses or names that attempts are counted for; about 100 bytes each.
pub const MAX_COUNTED: usize = 50_000;

/// Connections of one module server to its rows: it needs one, and one for each of its processes.
pub const MAX_DATA_CONNECTIONS: usize = 64;

/// Calls that one module server answers at a time: each holds a context of about a kilobyte.
pub const MAX_GRANTS: usize = 1024;

/// Longest call of a module server, streams too: what a grant is good for at most.
pub const MAX_REMOTE_CALL: Duration = Duration::from_secs(60);

/// Time that a module server has to accept a connection.
pub const REMOTE_DIAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows of one page for a module server: at their largest they fit a message.
pub const MAX_DATA_ROWS: usize = 100;

/// Largest file of a module server's descriptors or policies.
pub const MAX_DESCRIPTOR_BYTES: u64 = 4 << 20;

/// Homes whose version is kept; about 50 bytes each.
pub const MAX_KEPT_VERSIONS: usize = 20_000;

/// Time after which a home is asked for its version again.
pub const VERSION_TTL: Duration = Duration::from_secs(5);

/// How long a call waits while its home is migrated.
pub const MIGRATION_PATIENCE: Duration = Duration::from_secs(5);

/// Rows that a migration looks at together.
pub const MIGRATION_PAGE: usize = 64;
