//! For tests, of this crate and of modules: a home in memory. Makes nothing that the public API does not.

mod memory;
#[cfg(test)]
mod peers;

pub use memory::{MemoryHome, MemoryPartition};
#[cfg(test)]
pub(crate) use peers::{AuditLog, NOT_AFTER, TRUST_DOMAIN, identity, peer};
