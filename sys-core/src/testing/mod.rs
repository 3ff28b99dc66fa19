//! For tests, of this crate and of modules: homes in memory, roles to give and take, and calls through guard and gates without a
//! connection. Makes nothing that the public API does not.

mod host;
mod local;
mod memory;
#[cfg(test)]
mod peers;
mod standings;

pub use host::MemoryHost;
pub use local::Local;
pub use memory::{MemoryHome, MemoryPartition};
#[cfg(test)]
pub(crate) use peers::{AuditLog, NOT_AFTER, TRUST_DOMAIN, identity, peer};
pub use standings::Standings;
