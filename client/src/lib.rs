//! The client of Holdfast: an SDK for clients and operators, and the command line over it.
//!
//! - [`Client`]: a client key of an account; its files through [`Client::files`], organisations through
//!   [`Client::organisation`], other homes and modules through [`Client::home`]
//! - [`session`]: calls over connections without a certificate, as browsers make them
//! - [`devices`]: the keys of an account; [`accounts`]: states of accounts and roles that hold everywhere
//! - [`login`]: names and passwords that admit keys
//! - [`guards`]: what an application shows to whom
//! - [`Operator`]: an operator's credential; what it signs and sees
//! - [`config`]: named contexts in one file; [`credential`]: the directories that they point to
//! - [`cli`]: the `holdfast` program
//!
//! Servers are believed as far as the pinned root, the genesis record below it and the hash of each content go: a map, a
//! member or a file that does not verify is refused, whoever sent it. Secrets live in files of mode 0600 and nowhere else.

pub mod accounts;
pub mod cli;
mod client;
pub mod config;
pub mod credential;
pub mod devices;
mod error;
pub mod files;
pub mod guards;
mod home;
pub mod limits;
pub mod login;
pub mod map;
mod node_channels;
pub mod operator;
pub mod organisations;
mod registries;
pub mod retry;
pub mod session;
mod storage;
mod time;
mod trust;
mod voters;

pub use client::{Client, ClientInfo, Registering};
pub use error::{Error, ErrorKind};
pub use home::Home;
pub use operator::Operator;
pub use registries::Registries;
pub use storage::StorageError;
pub use trust::{Trust, TrustError};

#[cfg(test)]
mod tests;
