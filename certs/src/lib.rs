//! Certificates and transport: the only crate that names rustls, rcgen or webpki.
//!
//! Identities are SPIFFE X.509-SVIDs below one root per cluster. The root signs two kinds of authorities,
//! told apart by a private extension: only a [`AuthorityKind::Registry`] authority can vouch for
//! `/registry/<id>`, only a [`AuthorityKind::Workload`] one for everybody else. Transport is TLS 1.3 with
//! `h2` and nothing else; no session is ever resumed, so every connection proves its identity anew.
//!
//! - issuing: [`RootCa`], [`Authority`], [`LeafRequest`], [`csr`]
//! - trusting: [`TrustBundle`], [`verify_chain`], [`VerifyError`]
//! - serving: [`ServerTls`], [`incoming`], [`Peer`], [`Connections`]
//! - dialing: [`Dialer`], [`ExpectedServer`], [`Dialed`]
//! - rotating: [`LiveIdentity`], [`LiveTrust`], [`PinnedPeers`]
//!
//! What TLS accepts, the request layer checks again per RPC (ban, expiry): connections outlive both.

mod accept;
mod authority;
mod bundle;
mod certificate_file;
mod chain;
mod connections;
pub mod csr;
mod dial;
mod ecdsa_der;
mod extension;
mod gathered;
mod genesis;
mod leaf;
pub mod limits;
mod peer;
mod pinned;
mod remote_key;
mod root;
mod root_certificate;
mod subject_key;
pub mod testing;
mod tls;
mod validity;
mod verify;

pub use accept::{AcceptLimits, TlsIo, incoming};
pub use authority::{Authority, IssueError};
pub use bundle::{BundleError, TrustBundle};
pub use certificate_file::{CertificateFileError, read_certificates};
pub use chain::{CertChain, ChainShapeError};
pub use connections::Connections;
pub use csr::Csr;
pub use dial::{DialError, Dialed, Dialer, ExpectedServer, ServerTrust};
pub use extension::{AuthorityKind, ExtensionError};
pub use gathered::Gathered;
pub use genesis::GenesisError;
pub use leaf::LeafRequest;
pub use peer::{Exporter, Peer, PeerIdentity, Serial};
pub use pinned::PinnedPeers;
pub use root::RootCa;
pub use root_certificate::{RootCertificate, RootError};
pub use subject_key::{SubjectKey, SubjectKeyError};
pub use tls::{ClientAuth, Identity, IdentityError, LiveIdentity, LiveTrust, ServerTls, TlsSetupError};
pub use verify::{Purpose, VerifyError, verify_chain};
