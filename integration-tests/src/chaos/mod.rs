//! Faults in a running cluster, under load, with everything that clients saw written down and judged at the end.
//!
//! - [`Stage`]: a cluster on machines in a network of their own, with disks that can fail, and the load on it
//! - [`scenarios`]: each a function with a name; all their choices come from the run's seed
//! - [`load`]: clients that put, read and delete small files, each file a register
//! - digests: what replicas say of their slots, compared after each scenario
//! - [`run`]: one scenario after the other until the time is over

mod digests;
pub mod load;
mod rows;
pub mod run;
pub mod scenarios;
mod stage;

pub use stage::{Plan, Stage};
