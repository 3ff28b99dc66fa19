//! Whole groups of one replica: consensus, engine and segments in a temporary folder.

mod canary;
mod contents;
mod records;
mod routes;
mod scans;
pub(crate) mod support;
mod tables;
