//! Every bound of this module, each with its reason.

/// Most characters of a name: it fits a line of a table, and in any alphabet a key.
pub const MAX_NAME_CHARS: usize = 100;

/// Most projects of an organisation. An account has at most one membership in each and one in the organisation, so all of them are one
/// page, and who stands how is known from two reads.
pub const MAX_PROJECTS: usize = 512;

/// Most roles that one request gives: with their index rows and what they require they are half a command.
pub const MAX_GRANTS: usize = 16;

/// Memberships that one call deletes with their project: with their index rows they are a command.
pub const DELETED_AT_ONCE: usize = 40;

/// Rows of a listing when the caller does not say.
pub const DEFAULT_LIST: usize = 100;

/// Most rows of a listing.
pub const MAX_LIST: usize = 1000;

/// Longest cursor.
pub const MAX_CURSOR_BYTES: usize = 4096;

/// Pages that a question about a whole table goes through before it is given up: each visits thousands of rows.
pub const MAX_PAGES: usize = 8;

/// Largest request: a few ids and names.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Bytes that an organisation may store.
pub const ORGANISATION_QUOTA_BYTES: u64 = 1 << 30;

/// Bytes that a login name's home may store: the login, and the tokens that were mailed for it.
pub const LOGIN_QUOTA_BYTES: u64 = 64 * 1024;
