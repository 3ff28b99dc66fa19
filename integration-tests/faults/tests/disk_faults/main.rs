//! Disks that lose what was not synced, tear sectors, fill up, fail a sync or flip a bit, below every store of the system.
//!
//! A child process, this program again, writes and says what it acknowledges; the library of `disk-faults` writes down what its
//! disk has for certain. `HOLDFAST_SEED` replays a run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test file: its helpers may end the test"
)]

mod child;
mod clock;
mod flips;
mod full;
mod image;
mod power;
mod stores;
mod syncs;
