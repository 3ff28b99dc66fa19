//! A deterministic simulation of the shard map, placement and the life of shards.
//!
//! Real: the registry's replicated state with its placement, and what a node does next for a replica. Modelled: the network, clocks,
//! disks, Raft itself, and the commands by which slots move. Everything happens in one thread, from one seed, on a simulated clock; after
//! each event the invariants are checked:
//! - one history: what a group committed never changes, and whoever leads has all of it;
//! - no slot is served by two groups, and whoever serves it has every acknowledged write, while no group loses a majority of its logs;
//! - when the faults stop, everything comes to rest: every group complete and led, no move, deletion or rotation left.
//!
//! A mistake can be put back with [`Rules`], to see that it is found.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    reason = "a harness: a broken assumption ends the run, and numbers are small"
)]

pub mod base;
pub mod chance;
pub mod machine;
pub mod network;
pub mod node;
pub mod oracle;
pub mod raft;
pub mod registry;
pub mod rules;
pub mod world;

pub use rules::Rules;
pub use world::{Failure, Report, run};
