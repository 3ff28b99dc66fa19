//! The services over a state without consensus, and machines without TPMs.

mod clients;
mod custody;
mod devices;
mod directory;
mod ek_maker;
mod enrolment;
mod machine;
mod refusals;
mod renewals;
pub(crate) mod world;
