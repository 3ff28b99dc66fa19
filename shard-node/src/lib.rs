//! The shard node: replicas of shard groups and the modules served from them.
//!
//! Data path: a [`machine`] is the replicated state of one group (bytes sealed above it), a [`partition`] is what modules
//! are given of it, and [`content`] keeps large content in segments beside it.
//!
//! Runtime: [`checkpoint`] tells whether the disk is this machine's newest, [`custody`] makes, wraps and opens group keys, [`groups`] founds, hands over, takes over and deletes replicas as the
//! registry wants, [`modules`] lists what is served, [`logins`] and [`mail`] are what logins reach, and [`run`] puts a node together.

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod content;
pub mod custody;
pub mod groups;
pub mod inspect;
pub mod limits;
pub mod logins;
pub mod machine;
pub mod mail;
pub mod modules;
pub mod partition;
pub mod run;
pub mod services;
pub mod transfer;
