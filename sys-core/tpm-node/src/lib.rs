//! A node's own TPM: its keys, its proofs, and the keys wrapped to it. The only crate that reaches a TPM.
//!
//! [`Tpm`] is a handle to the one thread that owns the device. [`Tpm::provision`] sets up the keys of the join design
//! (EK, AK, SRK, TLS key); after that the node can prove itself (`activate`, `certify_*`, `quote`), open keys that
//! others wrapped to it (`unwrap_key`, `unseal`), and sign handshakes ([`TpmSigner`]). Checking proofs and wrapping
//! keys need no TPM and live in `holdfast-tpm-verify`. [`swtpm`] runs software TPMs for tests and demonstrations.

mod actor;
mod attest;
mod blob;
mod counter;
mod ek_certificate;
mod error;
pub mod limits;
mod pcr;
mod policy;
mod provision;
mod seal;
mod signer;
pub mod swtpm;
mod templates;
mod tls_key;

pub use actor::Tpm;
pub use blob::SealedBlob;
pub use counter::CounterName;
pub use error::{TpmError, TssError};
pub use holdfast_tpm_verify::PcrPolicyProof;
pub use provision::{EkKind, NodeKeys, ProvisionOptions};
pub use signer::TpmSigner;
