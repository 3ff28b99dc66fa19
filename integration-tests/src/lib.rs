//! The job of `make demo` and the tests on real processes: registry voters, shard nodes, clients and software TPMs,
//! observed from outside.
//!
//! This crate sees every other and none sees it. Whatever it knows of a running cluster it learned from the programs' own
//! output, from the wire, or from the folders on disk.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a demonstration talks to whoever runs it")]

pub mod adversary;
pub mod binaries;
pub mod canary;
pub mod chaos;
pub mod cli;
pub mod cluster;
pub mod input;
pub mod job;
pub mod keep;
pub mod keys_out;
pub mod mail_server;
pub mod network;
pub mod ports;
pub mod process;
pub mod recorder;
pub mod report;
pub mod rows;
pub mod steps;
pub mod tpm;
pub mod wait;
