//! Scenarios on real software TPMs, cross-checked with tpm2-tools as an implementation that is not ours.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod attestation;
mod bounds;
mod oracle;
mod provisioning;
mod sealing;
mod support;
