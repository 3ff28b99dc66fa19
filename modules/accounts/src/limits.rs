//! Every bound of this module, each with its reason.

use std::time::Duration;

use holdfast_sys_core::attempts::Rate;

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

/// Memory of one password hash, KiB, and the passes over it: what OWASP's password storage sheet gives as the least for Argon2id with one
/// lane. A guess costs an attacker with the rows that much, and an honest sign-in some 40 ms.
pub const HASH_MEMORY_KIB: u32 = 19_456;
/// See [`HASH_MEMORY_KIB`].
pub const HASH_PASSES: u32 = 2;
/// See [`HASH_MEMORY_KIB`].
pub const HASH_LANES: u32 = 1;

/// Passwords that are hashed at once: 4 × 19 MiB, and cores are left for everybody else.
pub const HASHES_AT_ONCE: usize = 4;

/// Hashes that may wait for one of these: two seconds' worth.
pub const HASHES_WAITING: usize = 64;

/// Shortest password: what NIST SP 800-63B asks for.
pub const MIN_PASSWORD_BYTES: usize = 8;

/// Longest password: passphrases fit, and hashing does not become a lever.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Tries with a wrong password that are free: people mistype.
pub const FREE_FAILURES: u32 = 4;

/// Lock-out after the first try beyond; each further one doubles it.
pub const FIRST_LOCK_MS: u64 = 15_000;

/// Longest lock-out: a guesser gets a hundred tries a day, and a victim is back in a coffee break, or by mail.
pub const MAX_LOCK_MS: u64 = 15 * 60_000;

/// Every refused sign-in is answered after at least this: longer than hashing and storing take, so that duration tells neither whether a
/// name is known nor whether it is locked.
pub const REFUSED_AFTER: Duration = Duration::from_millis(400);

/// Calls of strangers from one address: sign-ins, and codes asked for or spent.
pub const STRANGERS: Rate = Rate { burst: 30, every: Duration::from_secs(4) };

/// Logins that one account makes: they are rows in homes that nobody else pays for.
pub const LOGINS_MADE: Rate = Rate { burst: 8, every: Duration::from_secs(3600) };

/// Mails that one account has sent to addresses of its choice.
pub const MAILS_ASKED: Rate = Rate { burst: 5, every: Duration::from_secs(600) };

/// Codes of a login that are good at once, in all: whoever asks for more has enough mail already.
pub const MAX_MAIL_TOKENS: usize = 4;

/// How long a code to verify an address is good: people read mail daily.
pub const VERIFY_MS: u64 = 24 * 3_600_000;

/// How long a code to set a password is good: it was asked for a minute ago.
pub const RESET_MS: u64 = 30 * 60_000;

/// Resets under way at once, mail included.
pub const RESETS_AT_ONCE: usize = 16;

/// How long a key is good that a password admits: a working day, less than the registry's 12 hours by what clocks may differ.
pub const ADMITTED_MS: u64 = 12 * 3_600_000 - 5 * 60_000;

/// How often a row is read again when somebody else was faster.
pub const MAX_RACES: usize = 8;

/// Organisations that one account makes at one node: their homes are gibibytes, and nobody's quota counts them together.
pub const ORGANISATIONS_MADE: Rate = Rate { burst: 64, every: Duration::from_secs(3600) };
