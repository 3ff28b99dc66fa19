//! rustls, configured once: TLS 1.3, `h2`, aws-lc-rs, no resumption, certificates and trust that rotate live.

mod client_side;
mod identity;
mod key;
mod live;
mod provider;
mod server_side;

pub(crate) use client_side::{ServerCheck, client_config};
pub use identity::{Identity, IdentityError};
pub use live::{LiveIdentity, LiveTrust};
pub use server_side::{ClientAuth, ServerTls};

use crate::{Exporter, VerifyError};

/// The only application protocol.
const ALPN: &[u8] = b"h2";

/// rustls refused a configuration that never varies: a mistake in this program.
#[derive(Debug, thiserror::Error)]
#[error("TLS could not be set up")]
pub struct TlsSetupError(#[from] rustls::Error);

/// Draws the exporter of a connection whose handshake is over.
pub(crate) fn exporter<Data>(connection: &rustls::ConnectionCommon<Data>) -> Result<Exporter, rustls::Error> {
    connection.export_keying_material([0; 32], Exporter::LABEL, None).map(Exporter::new)
}

/// Whether both ends agreed on [`ALPN`]; a peer that names no protocol at all gets this far.
pub(crate) fn speaks_h2<Data>(connection: &rustls::ConnectionCommon<Data>) -> bool {
    connection.alpn_protocol() == Some(ALPN)
}

/// Our reason as rustls carries it. The alert tells the peer no more than rustls' own verifier would.
fn refusal(error: VerifyError) -> rustls::Error {
    use rustls::{CertificateError, OtherError};
    CertificateError::Other(OtherError(std::sync::Arc::new(error))).into()
}

/// Our reason, back from rustls.
pub(crate) fn refusal_of(error: &rustls::Error) -> Option<&VerifyError> {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => other.0.downcast_ref(),
        _ => None,
    }
}
