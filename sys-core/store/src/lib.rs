//! Encrypted tablespaces over an embedded storage engine, and the segment files of large content.
//!
//! - [`engine`]: the small ordered key-value trait that the rest of the system sees, over sled and over redb.
//! - [`records`]: how a record's key, head and body look on disk, and what each seal authenticates.
//! - [`segments`]: append-only files of sealed chunks.
//! - [`durability`]: what happens when a sync fails.
//!
//! Everything here blocks: callers on an async runtime use `spawn_blocking`.

pub mod durability;
pub mod engine;
pub mod limits;
pub mod records;
pub mod segments;

mod files;
mod space;

pub use durability::{SyncFailed, abort_on_failed_sync};
pub use engine::{
    Batch, Engine, EngineError, KeyRange, Page, RedbEngine, Row, ScanLimit, SledEngine, View, WriteBehind,
};
pub use segments::{SegmentError, SegmentStore};
