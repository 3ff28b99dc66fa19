//! Tests over the public face of the state, with real signatures.

mod admissions;
mod clients;
mod formats;
mod groups;
mod invariants;
mod joins;
mod world;
mod wraps;
