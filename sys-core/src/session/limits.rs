//! Every bound of sessions, each with its reason.

use std::time::Duration;

use crate::attempts::Rate;

/// Longest life of a session. A stolen machine, a lost key: this long at most, and shorter with a ban.
pub(crate) const SESSION_MS: u64 = 5 * 60 * 1000;

/// How long a nonce can be answered: a signature and a round trip.
pub(crate) const CHALLENGE_MS: u64 = 60 * 1000;

/// Nonces that can be answered; about 100 bytes each. When there are more, the oldest go: who asked for one answers within a second.
pub(crate) const MAX_CHALLENGES: usize = 65_536;

/// Nonces of one address. An office behind one NAT signs in every few minutes; each nonce allows one check of a certificate chain.
pub(crate) const CHALLENGES_PER_ADDRESS: Rate = Rate { burst: 512, every: Duration::from_millis(50) };

/// Sessions of one client key; with one more the oldest ends. Tabs and connections of one device.
pub(crate) const MAX_SESSIONS_PER_CLIENT: usize = 32;

/// Sessions in all; about half a kilobyte each.
pub(crate) const MAX_SESSIONS: usize = 100_000;

/// Longest origin: a host name has 253 bytes.
pub(crate) const MAX_ORIGIN_BYTES: usize = 270;

/// Counters behind the highest one that are still told apart: as many requests of one page may overtake each other.
pub(crate) const WINDOW: u64 = 64;

/// How long the body of a signed request may take: nothing is decided before it is whole.
pub(crate) const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// Largest request of a stranger to sign in: a chain of four certificates, and room.
pub(crate) const MAX_SIGN_IN_BYTES: usize = 32 * 1024;
