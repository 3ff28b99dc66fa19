//! Bounds of the services, each with its reason.

use std::time::Duration;

use holdfast_sys_core::attempts::Rate;

/// How long a machine may take to send its first message: it has nothing to compute for it any more.
pub(super) const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a challenge can be answered: a TPM needs a few seconds for its six commands, and a minute when it is busy.
pub(super) const CHALLENGE_LIFE: Duration = Duration::from_secs(60);

/// Joins under way at once; each holds its messages, at most 256 KiB.
pub(super) const MAX_JOINS: usize = 128;

/// Challenges made and evidence verified at once: pure CPU, and requests of others must not wait for it.
pub(super) const MAX_VERIFICATIONS: usize = 4;

/// How long a join waits for its turn at that.
pub(super) const VERIFICATION_PATIENCE: Duration = Duration::from_secs(10);

/// Joins and renewals of one address, answered or not: a rack behind one NAT starts at once, a stranger gets no more.
pub(super) const JOINS_PER_ADDRESS: Rate = Rate { burst: 256, every: Duration::from_millis(250) };

/// Joins of one EK that proved itself: a machine renews twice an hour, and asks every few seconds while it waits for approval.
pub(super) const JOINS_PER_EK: Rate = Rate { burst: 20, every: Duration::from_secs(2) };

/// When a waiting machine asks again.
pub(super) const PENDING_RETRY_MS: u32 = 3_000;

/// Registrations and renewals of clients of one address: an office behind one NAT renews within minutes.
pub(super) const CLIENTS_PER_ADDRESS: Rate = Rate { burst: 2_000, every: Duration::from_millis(20) };

/// Changes of keys, accounts and roles by one client: each is a commit and a line in the record of trust.
pub(super) const CHANGES_PER_CLIENT: Rate = Rate { burst: 60, every: Duration::from_secs(10) };

/// How long a new device's request to be added can be carried around.
pub(super) const DEVICE_REQUEST_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// Accounts in one page of the listing.
pub(super) const MAX_ACCOUNTS_A_PAGE: usize = 500;

/// Least time between two views for a watcher: changes in between are seen together.
pub(super) const VIEW_INTERVAL: Duration = Duration::from_millis(50);

/// How often a voter assures itself that it hears of the newest state.
pub(super) const CONTACT_INTERVAL: Duration = Duration::from_millis(400);

/// How long the others may take to answer that; then this voter is cut off, and no news is no good news.
pub(super) const CONTACT_PATIENCE: Duration = Duration::from_secs(1);

/// How often a watcher hears something: silence for three times as long tells it that the connection is dead.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// Watches at once: every member with one, and one more while its old connection is noticed to be gone.
pub(super) const MAX_WATCHES: usize = 8_192;

/// Wraps in one request, as in one command.
pub(super) const MAX_WRAPS: usize = holdfast_registry_state::limits::MAX_WRAPS_A_COMMAND;

/// How often refused joins are summed up in the log.
pub(super) const REJECTION_WINDOW: Duration = Duration::from_secs(60);
