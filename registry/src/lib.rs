//! The registry: trust anchor and map of a cluster, replicated over its voters.
//!
//! - [`core`]: what the services work on: state, log, opened secrets.
//! - [`services`]: the gRPC services. [`authority`]: issuing leaves.

pub mod authority;
pub mod cluster;
pub mod core;
pub mod services;
pub mod state_host;
