//! The files module: an account's or an organisation's files by name, over the
//! [`Partition`](holdfast_sys_core::module::Partition) of the home.
//!
//! Invariants: a request reaches the home that the gate opened for it and no other, because the module has no other way to any; every
//! change of a file and the home's usage are one atomic command, so that the usage is exact; no call holds more than a few chunks in memory, whatever the file's size;
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

/// Who may do what to the files of a home.
pub const POLICIES: &str = include_str!("files.cedar");

#[cfg(test)]
#[expect(clippy::as_conversions, reason = "sizes of test data fit everywhere")]
mod tests;
