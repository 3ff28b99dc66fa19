//! From a request to what its handler may touch.
//!
//! A method under a check is decided here, between the [guard](crate::guard) and its handler: the first message says whose home it
//! addresses, the caller's [`Standing`](holdfast_domain::Standing) there is looked up, and the module's policies say which rows the check's
//! action may touch. None: the call ends. Otherwise the handler finds a [`Context`] in the request, bound to exactly that. Nothing else leads
//! to data: a handler that forgets to ask has none.
//!
//! Invariants: a [`Context`] is made here only; what it is bound to never changes; a standing is asked for anew in each call, and each second
//! of an open stream.

mod access;
mod capabilities;
mod context;
mod gates;
mod migrate;
mod open;
mod scopes;
mod standing;

#[cfg(test)]
mod tests;

pub use access::HomeAccess;
pub(crate) use capabilities::CapabilitiesService;
pub use context::Context;
pub use gates::{GateError, Gated};
pub(crate) use gates::{Gates, Given};
pub use migrate::{Migration, Step};
pub(crate) use open::Denied;
pub use standing::{HomeStanding, OwnHomes, StandingSource, standing_table};
