//! The machine by itself, driven as consensus drives it.

mod commands;
mod model;
mod snapshots;
mod support;
