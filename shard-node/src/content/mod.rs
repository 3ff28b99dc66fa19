//! Large content: sealed chunks in segments, manifests in the machine.
//!
//! A file is staged (chunks come in, an upload row holds its key), then live (a content row holds its key, manifest pages name its
//! chunks) and at last dead. Segments know it as an upload with the file's id; what becomes of its chunks follows from its row in the
//! machine, at once on the leader and by housekeeping everywhere, so that a lost mark is made again.
//!
//! Invariants: a chunk is durable at a majority before anybody is told so; a manifest names chunks that a majority holds durably; no chunk goes while a row that
//! names it may still be read.

mod fate;
mod holes;
mod maintain;
mod ops;
mod read;
mod replicate;
mod rows;
mod spread;
mod staged;
mod upload;

pub(crate) use self::{
    fate::Fate,
    holes::{Holes, News},
    rows::ROWS,
    spread::Others,
    staged::StagedFiles,
};
pub use self::{maintain::Housekeeping, replicate::SealedChunk, spread::ChunkPeers};
