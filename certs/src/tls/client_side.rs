//! The dialing end: whom we want to reach, and what we show of ourselves.

use std::sync::Arc;

use holdfast_domain::{RootHash, UnixMs};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{ALPN, LiveIdentity, TlsSetupError, provider, refusal};
use crate::{
    ExpectedServer, PeerIdentity, Purpose, RootCertificate, ServerTrust, VerifyError, verify::Trust,
};

/// A configuration for connections to `check`'s server.
pub(crate) fn client_config(
    check: ServerCheck,
    identity: Option<LiveIdentity>,
) -> Result<Arc<ClientConfig>, TlsSetupError> {
    let builder = ClientConfig::builder_with_provider(provider::provider())
        .with_protocol_versions(provider::VERSIONS)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(check));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(ClientCert(identity))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // Servers are known by SPIFFE ID; a name in clear would only tell an observer what was dialed.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// Shows the live identity.
#[derive(Debug)]
struct ClientCert(LiveIdentity);

impl ResolvesClientCert for ClientCert {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.current().certified()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Checks that the server is the one that was dialed.
#[derive(Debug, Clone)]
pub(crate) struct ServerCheck {
    pub(crate) trust: ServerTrust,
    pub(crate) expected: ExpectedServer,
}

impl ServerCheck {
    /// Checks a server's chain; also returns the root that it was checked against.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixMs,
    ) -> Result<(PeerIdentity, RootCertificate), VerifyError> {
        let pinned = self.expected.pinned();
        let (root, revoked) = match &self.trust {
            ServerTrust::Bundle(live) => {
                let bundle = live.current();
                (bundle.root().clone(), bundle.revoked().clone())
            }
            ServerTrust::Pin(pin) => (pinned_root(*pin, others)?, Default::default()),
        };
        let trust = Trust { root: &root, revoked: &revoked, pinned: &pinned };
        let identity = trust.verify(leaf, others, Purpose::Server, now)?;
        self.expected.check(&identity)?;
        Ok((identity, root))
    }
}

/// The certificate with the pinned hash, which a registry sends along.
fn pinned_root(pin: RootHash, others: &[CertificateDer<'_>]) -> Result<RootCertificate, VerifyError> {
    let root = others.iter().find(|der| RootHash::of_der(der) == pin);
    root.and_then(|der| RootCertificate::parse(der).ok()).ok_or(VerifyError::NotThePinnedRoot)
}

impl ServerCertVerifier for ServerCheck {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let now = UnixMs(now.as_secs().saturating_mul(1000));
        self.verify(leaf, others, now).map(|_| ServerCertVerified::assertion()).map_err(refusal)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &provider::SIGNATURES)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider::SIGNATURES.supported_schemes()
    }
}
