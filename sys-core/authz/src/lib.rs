//! Who may call what, and on which rows.
//!
//! Two questions, each one pure function of its arguments (no clock, no I/O, no state): [`decide`] takes a method's declared audience
//! and the caller's proven kind; [`Policies`] takes a module's policies, the caller's standing in the addressed home and, if there is
//! one, a row.
//!
//! Invariants: the answer is never a `bool`; whatever nothing names is denied, and a forbidding policy wins over all that permit;
//! [`Policies::scope`] admits exactly the rows that [`Policies::decide`] allows, and whatever it cannot say exactly is an error, never
//! a wider filter. Bans and expiry are facts of a connection and are checked before this.

mod action;
mod audience;
mod compile;
mod error;
mod filter;
#[cfg(test)]
mod fixture;
mod limits;
mod policies;
mod residual;
mod samples;
mod schema;
mod scope;
mod shape;
mod subject;

pub use audience::{CallerKind, Decision, DenyReason, decide};
pub use error::{Place, PolicyError, ScopeError};
pub use filter::{RowFilter, Test};
pub use limits::{MAX_POLICIES, MAX_POLICY_BYTES};
pub use policies::{Policies, Verdict};
pub use scope::{Ruling, Scope};
pub use subject::Subject;
