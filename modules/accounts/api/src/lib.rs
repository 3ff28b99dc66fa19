//! Generated types of the accounts module's API, and its descriptors.

mod place;

pub use place::{NotAPlace, Place};

/// Version 1.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::as_conversions, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("holdfast.accounts.v1");
}

/// The module's descriptors as the compiler encoded them, custom options included.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
