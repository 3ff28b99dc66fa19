//! Every bound of this crate, with its reason.

use std::time::Duration;

/// Certificates begin this long before they are issued, so that a clock five minutes slow accepts them.
pub const BACKDATE_MS: u64 = 5 * 60 * 1000;

/// Life of a root: its key exists only as officers' shares, and replacing it means pinning anew everywhere.
pub const ROOT_LIFETIME_MS: u64 = 20 * 365 * DAY_MS;

/// Life of an authority: signing another one needs the officers, so it is long; it is rotated by generation.
pub const AUTHORITY_LIFETIME_MS: u64 = 5 * 365 * DAY_MS;

/// Largest certificate read. Ours have 500 to 800 bytes.
pub const MAX_CERTIFICATE_LEN: usize = 4096;

/// Most certificates read from a peer: leaf, authority, root, and one to spare during a rotation.
pub const MAX_CHAIN_LEN: usize = 4;

/// Largest certificate request read. Ours have about 200 bytes.
pub const MAX_CSR_LEN: usize = 2048;

/// Most revoked authorities in a trust bundle: generations are rare, and pruned ones leave the list.
pub const MAX_REVOKED_AUTHORITIES: usize = 256;

/// A peer that has not finished its handshake by then holds a slot for nothing.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes at once from one address: each costs a signature and a key exchange.
pub const MAX_HANDSHAKES_PER_ADDRESS: usize = 64;

/// Handshakes at once in all: bounds the memory and CPU that strangers can claim.
pub const MAX_HANDSHAKES: usize = 512;

/// Open connections from one address; many nodes and clients may share one behind a gateway.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 1024;

/// Open connections in all: a file descriptor and some 50 KiB each.
pub const MAX_CONNECTIONS: usize = 8192;

/// Accepted connections that the server has not taken yet.
pub const ACCEPT_QUEUE: usize = 64;

/// Pause after the operating system refused to accept (no descriptors left): retrying at once would spin.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// TCP connect, and again the TLS handshake.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection with no answer to a ping for [`PING_TIMEOUT`] is dead.
pub const PING_INTERVAL: Duration = Duration::from_secs(10);

/// See [`PING_INTERVAL`].
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP/2 flow control window of one stream: a Raft snapshot must not stop at the default 64 KiB.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// HTTP/2 flow control window of one connection.
pub const CONNECTION_WINDOW: u32 = 4 << 20;

/// Bytes that are gathered before they are written: a frame of HTTP/2, its head, and what was small before it.
pub const WRITE_BUFFER: usize = 18 * 1024;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
