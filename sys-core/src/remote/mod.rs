//! Modules that are servers of their own: another process, another user, any language.
//!
//! ```text
//! client ── guard ── gate ── proxy ── the module's socket ── handler
//!                                                              │ the call's grant
//!                    gate's context ── Data ── a socket of the node for this module's user only
//! ```
//!
//! Rules, schema and policies are read from the module's descriptors and policy file as they are for a module in the process, and decide
//! before the module hears of a call. What the handler then may touch is named by a [grant](grants): random, good for this module, for this
//! call and for what the gate allowed it, and dead when the call is. The [Data](data) service turns a grant back into that
//! [`Context`](crate::gate::Context) and works on the same tables as handlers in the process.
//!
//! Invariants: a module server holds nothing that outlives its calls; every method of one has a check; both sockets are opened to one user,
//! whom the kernel names ([`sockets`]).

mod data;
mod grants;
mod load;
mod proxy;
mod remotes;
mod serve;
mod sockets;
mod wire;

pub use load::{ModuleServer, ModuleServerError, ModuleServerSpec};
#[cfg(any(test, feature = "testing"))]
pub(crate) use remotes::Forwarding;
pub(crate) use remotes::Remotes;
pub use serve::{DataServeError, DataServer};

#[cfg(test)]
mod tests;
