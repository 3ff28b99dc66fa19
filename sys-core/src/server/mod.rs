//! A whole server: rules, guard, services, health, reflection for operators, TLS, limits and drain.
//!
//! Invariants: no service is mounted outside the guard; a service without rules for all its methods stops the start; health says
//! SERVING only between [`Health::ready`] and the shutdown.

mod assemble;
mod health;
mod routes;
mod run;
mod stopping;

pub use assemble::{Builder, PlatformServer, StartError};
pub use health::Health;
#[cfg(any(test, feature = "testing"))]
pub(crate) use routes::Routes;
pub use run::ServeError;
pub use stopping::Stopping;

#[cfg(test)]
mod tests;
