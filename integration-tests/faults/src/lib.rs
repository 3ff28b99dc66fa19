//! Faults that are done to programs under test from outside, and the judgement of what their clients saw meanwhile.
//!
//! - [`disk`]: a process with a bad disk or clock, by the library of `disk-faults`
//! - [`power`]: what a power loss would have left of its folder
//! - [`network`]: machines in namespaces that can be cut off from each other
//! - [`history`]: what clients saw, and whether a store that loses nothing could have shown it
//! - [`draw`]: all choices come from one seed
//!
//! Knows no other crate of ours: whatever it breaks, it breaks through files and processes.

pub mod disk;
pub mod draw;
pub mod history;
#[path = "../../disk-faults/src/journal.rs"]
pub mod journal;
pub mod network;
pub mod power;
