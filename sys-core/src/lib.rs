//! What every server enforces, and what modules are given.
//!
//! - [`rules`]: who may call which method, read from the `.proto` files; an undeclared method stops the start.
//! - [`guard`]: the one layer in front of every handler: look up, authenticate, decide, audit.
//! - [`gate`]: for methods under policies: whose home, which rows; makes what a handler may touch.
//! - [`authn`], [`bans`], [`caller`]: from a connection's identity to the caller of one request.
//! - [`attempts`]: how often anybody may try something.
//! - [`session`]: callers without a certificate on their connection, such as browsers.
//! - [`server`]: assembles all of it with limits, health, reflection for operators, and drain.
//! - [`errors`]: refusals with stable codes. [`module`]: what a module's handlers are given.
//! - [`query`]: a module's rows as far as one caller may see them. [`remote`]: modules in processes of their own.
//! - [`config`], [`telemetry`]: configuration files and logs.

pub mod attempts;
pub mod authn;
pub mod bans;
pub mod caller;
pub mod clock;
pub mod config;
pub mod errors;
pub mod gate;
pub mod guard;
pub mod limits;
pub mod module;
pub mod query;
pub mod remote;
pub mod rules;
pub mod server;
pub mod session;
pub mod telemetry;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use bans::BanList;
pub use caller::Caller;
pub use clock::Clock;
pub use errors::Refusal;
pub use rules::RuleTable;
pub use server::PlatformServer;
