//! The registry: trust anchor and map of a cluster, replicated over its voters.
//!
//! - [`init`] makes a cluster, [`join`] makes a machine a member of its registry, [`run`] serves. [`cli`] is the program.
//! - [`core`]: what the services work on: state, log, opened secrets.
//! - [`services`] and `operators`: the gRPC services. [`authority`]: issuing leaves.
//! - [`health`]: what nodes said lately.
//! - `voter`: what a member does on its own: membership, placement, clocks, its own identity.
//!
//! The state itself, and every rule about changing it, is `holdfast-registry-state`. What is here checks proofs that need a connection or
//! a key, proposes, and answers. Nothing here can open a shard's key.

pub mod authority;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod core;
pub mod health;
pub mod init;
pub mod join;
pub mod limits;
mod machine;
mod operators;
pub mod run;
mod secrets;
pub mod services;
pub mod state_host;
mod voter;
