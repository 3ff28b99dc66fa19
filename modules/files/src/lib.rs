//! The files module: an account's own files by name, over the [`Partition`](holdfast_sys_core::module::Partition) of its home.
//!
//! Invariants: a request reaches the caller's home only, because the host gives out no other; every change of a file and the account's
//! usage are one atomic command, so that the usage is exact; no call holds more than a few chunks in memory, whatever the file's size;
//! a file is visible only with content that had the promised SHA-256.
//!
//! Records of a home, by their first component: `f` files, `u` the usage, `d` a ring of the last finished uploads, so that a
//! retried commit finds its answer.

mod append;
mod begin;
mod commit;
mod get;
mod homes;
pub mod limits;
mod list;
mod name;
mod pace;
mod remove;
mod request;
mod rows;
mod service;
mod small;
mod transact;
mod usage;

pub use service::{FilesService, server};

#[cfg(test)]
#[expect(clippy::as_conversions, reason = "sizes of test data fit everywhere")]
mod tests;
