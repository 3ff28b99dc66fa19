//! The shard node: replicas of shard groups and the modules served from them.
//!
//! Data path: a [`machine`] is the replicated state of one group (bytes sealed above it), a [`partition`] is what modules
//! are given of it, and [`content`] keeps large content in segments beside it.

#![allow(clippy::todo, unused)]

pub mod content;
pub mod inspect;
pub mod limits;
pub mod machine;
pub mod partition;
