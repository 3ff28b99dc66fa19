//! Tests over the public face of the state, with real signatures.

mod accounts;
mod admissions;
mod clients;
mod devices;
mod formats;
mod groups;
mod invariants;
mod joins;
mod people;
mod world;
mod wraps;
