//! Verifying TPM 2.0 attestations and wrapping keys to TPMs, in pure Rust: the registry and every replica run this same code on a
//! newcomer's evidence, and neither needs a TPM for it.
//!
//! Invariants: nothing here panics on outside bytes; algorithms are pinned, never negotiated; an [`join::AttestedNode`] exists only
//! after the whole checklist passed; every refusal carries a stable [`holdfast_domain::Reason`].

pub mod admission;
mod alg;
pub mod approval;
pub mod attest;
pub mod credential;
mod denial;
pub mod ek_certificate;
pub mod event_log;
#[cfg(test)]
mod fuzzed;
pub mod import;
pub mod join;
#[cfg(test)]
mod kat;
mod kdf;
pub mod limits;
mod name;
mod parent;
pub mod pcr;
pub mod policy;
mod prefixed;
pub mod public;
pub mod roles;
pub mod signature;
pub mod soft;
#[cfg(test)]
mod testing;
mod transcript;
mod wire;
pub mod wrap;

pub use alg::HashAlg;
pub use approval::{PcrPolicyProof, PolicyKey};
pub use credential::Credential;
pub use denial::Denial;
pub use ek_certificate::EkRoots;
pub use import::ImportBlob;
pub use join::{AttestedNode, VerifyContext};
pub use name::Name;
pub use parent::ProtectError;
pub use policy::{PolicyDigest, PolicyRef};
pub use public::Public;
pub use roles::{AkPublic, EkPublic, SrkPublic, TlsPublic};
pub use soft::{SoftJoin, SoftTpm};
pub use transcript::{Transcript, TranscriptParts};
pub use wire::Malformed;
pub use wrap::TpmTarget;
