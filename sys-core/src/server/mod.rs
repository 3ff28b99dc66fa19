//! A whole server: rules, guard, services, health, reflection for operators, TLS, limits and drain.
//!
//! Invariants: no service is mounted outside the guard; a service without rules for all its methods stops the start; health says
//! SERVING only between [`Health::ready`] and the shutdown.

mod assemble;
mod health;
mod run;

pub use assemble::{Builder, PlatformServer, StartError};
pub use health::Health;
pub use run::ServeError;

#[cfg(test)]
mod tests;
