//! Bounds of the replicated state: every voter keeps all of it in memory and sends it whole to a new voter.

/// Largest encoded command: a map of the greatest size and its frame.
pub const MAX_COMMAND: usize = holdfast_domain::map::MAX_MAP + 64 * 1024;
/// Largest encoded state; far above what the bounds below allow in practice.
pub const MAX_STATE: usize = 1024 * 1024 * 1024;

/// Machines that ever joined: rows stay, so that an EK keeps its node id for ever.
pub const MAX_MEMBERS: usize = 4_096;
/// EKs that may still join.
pub const MAX_ALLOWED: usize = 10_000;
/// Unexpired tickets.
pub const MAX_TICKETS: usize = 10_000;
/// Joins that wait for approval; each keeps its whole evidence.
pub const MAX_PENDING: usize = 256;
/// A waiting join is forgotten after this long: the machine asks again by itself.
pub const PENDING_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// Unexpired invites.
pub const MAX_INVITES: usize = 100_000;
/// Clients; about 200 bytes each.
pub const MAX_CLIENTS: usize = 1_000_000;
/// Accounts; one that was deleted keeps its place, so that its id does not come back.
pub const MAX_ACCOUNTS: usize = 1_000_000;
/// Keys of one account that stay.
pub const MAX_DEVICES: usize = 16;
/// Keys of one account that its login admitted; one more takes the place of the one that ends first.
pub const MAX_LOGIN_DEVICES: usize = 8;
/// How long such a key lives at most.
pub const MAX_LOGIN_DEVICE_MS: u64 = 12 * 60 * 60 * 1000;
/// After this a leaf that was issued before has ended: a client's lives for a day, and an hour covers clocks and what is under way.
pub const LAST_LEAF_MS: u64 = 25 * 60 * 60 * 1000;
/// Revoked keys of one account within that time before it may make no more; and before it may not even revoke.
pub const MAX_REVOKED_AN_ACCOUNT: usize = 32;
/// All of an account's keys can be revoked, several times over.
pub const MAX_CHURN_AN_ACCOUNT: usize = 128;
/// Revoked keys within that time, of all accounts. With bans and ended accounts they fit what everybody holds.
pub const MAX_REVOKED: usize = 60_000;
/// Accounts disabled or deleted within that time.
pub const MAX_BARRED: usize = 20_000;
/// Accounts with a role that holds everywhere: nodes hold all of them.
pub const MAX_GLOBAL_ROLES: usize = 4_096;
/// Unexpired set-up tokens: a cluster needs one.
pub const MAX_SETUP_TOKENS: usize = 64;
/// Bans in force; everyone with a live watch receives all of them.
pub const MAX_BANS: usize = 10_000;
/// Approved boot states of the current policy epoch.
pub const MAX_APPROVALS: usize = 256;
/// Changes of the operators in a cluster's life; the signed chain of them is kept whole.
pub const MAX_OPERATOR_CHANGES: usize = 1_024;
/// Serials of operators' requests that have not expired.
pub const MAX_SERIALS: usize = 10_000;
/// Longest validity of an operators' request, which bounds how long its serial must be remembered.
pub const MAX_ADMISSION_LIFE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// How far in the future a request may claim to have been written.
pub const MAX_SKEW_MS: u64 = 5 * 60 * 1000;

/// Groups: at most one for each slot.
pub const MAX_GROUPS: usize = 4_096;
/// Wrapped keys: a few for each replica and generation.
pub const MAX_WRAPS: usize = 65_536;
/// Wraps in one command.
pub const MAX_WRAPS_A_COMMAND: usize = 64;
/// Replicas of one group.
pub const MAX_REPLICAS: usize = 5;
/// Replicas of one node that come or go at once: each copies a group's data, and clients need the disk and the line too.
pub const MAX_MOTION: usize = 4;
/// Moves that are planned ahead to show them.
pub const MAX_PLANNED_MOVES: usize = 256;
/// Bytes that are to stay free on a node's disk beside a replica that comes: for its log, snapshots and what the others write.
pub const DISK_RESERVE: u64 = 256 * 1024 * 1024;
/// Bytes by which a move must even the nodes out, or it is not worth the copying.
pub const WORTH_MOVING: u64 = 64 * 1024 * 1024;
/// Longest name of a failure domain.
pub const MAX_ZONE: usize = 64;
/// Log positions in one command.
pub const MAX_FLOORS_A_COMMAND: usize = 4_096;
/// Replicas that are to be deleted by their nodes.
pub const MAX_DROPPING: usize = 65_536;

/// Longest `host:port`: a DNS name of 253 bytes or a bracketed address, a colon and a port.
pub const MAX_ADDRESS: usize = 260;
/// Longest TPM name: an algorithm and a SHA-512.
pub const MAX_TPM_NAME: usize = 66;
/// Longest SPKI of an EK (RSA-4096 with room).
pub const MAX_SPKI: usize = 1_024;
/// Largest opaque sealed blob: the registry's secrets, the sealed root key.
pub const MAX_SEALED: usize = 64 * 1024;
/// Largest root certificate.
pub const MAX_ROOT: usize = 16 * 1024;

/// Audit records kept; older ones are represented by the hash of the last of them.
pub const MAX_AUDIT: usize = 10_000;
