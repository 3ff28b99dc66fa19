//! Segments: append-only files of sealed chunks, for content that is too large for the engine.
//!
//! A segment is a file of entries, each a header with its own checksum and, for a chunk, its sealed bytes. What happens
//! to a chunk later (it became live, it died) is an entry too. The index is in memory and rebuilt from the headers.
//!
//! Invariants:
//! - entries tile a segment without gaps; only the last segment may end in a torn tail, and nothing acknowledged by
//!   [`SegmentStore::sync`] is ever in it: each entry tells how far its segment was durable when it was written;
//! - what the entries mean does not depend on their order: a chunk is dead if a death with a sequence number not below
//!   its own names it, so a copy made by compaction changes nothing;
//! - the index changes only under the writer's lock and only after the entry is in the file.

mod chunk;
mod compact;
mod entry;
mod error;
mod index;
mod scan;
mod store;
mod sync;
mod writer;

#[cfg(test)]
mod tests;

pub use self::{
    chunk::{ChunkId, ChunkInfo, ChunkState, NewChunk},
    compact::Compacted,
    error::SegmentError,
    scan::Damage,
    store::{OnDamage, SegmentOptions, SegmentStats, SegmentStore},
    sync::Position,
};
