//! The machine by itself, driven as consensus drives it.

mod commands;
mod dedup;
mod model;
mod moves;
mod snapshots;
mod support;
