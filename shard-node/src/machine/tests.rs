//! The machine by itself, driven as consensus drives it.

mod commands;
mod model;
mod moves;
mod snapshots;
mod support;
