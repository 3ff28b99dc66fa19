//! For tests, of this crate and of modules: one module behind the real guard and gate over homes in memory, roles to give and take, and
//! what every module's tests ask. Makes nothing that the public API does not.
//!
//! Only with the feature `testing`, for `[dev-dependencies]`: a shipped program has no way to a caller who showed no certificate.

mod desk;
mod equivalence;
mod host;
mod local;
mod matrix;
mod memory;
#[cfg(test)]
mod peers;
mod standings;
#[cfg(test)]
mod tests;

pub use desk::{Desk, DeskError};
pub use equivalence::{Compared, NotEquivalent, filter_is_decision};
pub use host::MemoryHost;
pub use local::Local;
pub use matrix::deny_matrix;
pub use memory::{MemoryHome, MemoryPartition};
#[cfg(test)]
pub(crate) use peers::{AuditLog, NOT_AFTER, TRUST_DOMAIN, identity, peer};
pub use standings::Standings;
