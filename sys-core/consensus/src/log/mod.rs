//! The process's log: every group's entries and votes in one set of files, committed together, sealed one by one.
//!
//! Order of durability: entries and votes are written and synced by the one committer thread before anybody hears of
//! them. A batch is synced before the next is written, so a crash can tear the last batch only. A failed write or sync
//! ends the process: what the disk holds is unknown then, and answering anything would lie.

mod committer;
mod engine;
mod load;
mod reader;
mod seal;
mod store;
mod tail;
mod tail_guard;
mod witness;

pub(crate) use engine::LogEngine;
pub use engine::LogOpenError;
pub(crate) use load::GroupLogError;
pub(crate) use store::GroupLog;
pub(crate) use witness::Witness;
