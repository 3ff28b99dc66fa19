//! The accepting end: which certificate we show, which certificates of clients we take.

use std::sync::Arc;

use holdfast_domain::{SpiffeSubject, UnixMs};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio_rustls::TlsAcceptor;

use super::{ALPN, LiveIdentity, LiveTrust, TlsSetupError, provider, refusal};
use crate::{PinnedPeers, Purpose, verify::Trust};

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// A client may show no certificate and is anonymous then; one that it shows must hold.
    Optional,
    /// A client must show a certificate.
    Required,
}

/// The accepting end of TLS. Clones share one configuration.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    identity: LiveIdentity,
}

impl ServerTls {
    /// Shows `identity` (a registry adds its root, for those who only know its hash), checks clients by `trust`.
    ///
    /// # Errors
    /// [`TlsSetupError`]: not in practice.
    pub fn new(
        identity: LiveIdentity,
        trust: LiveTrust,
        auth: ClientAuth,
        pinned: PinnedPeers,
    ) -> Result<Self, TlsSetupError> {
        let check = Arc::new(ClientCheck { trust: trust.clone(), auth, pinned });
        let mut config = ServerConfig::builder_with_provider(provider::provider())
            .with_protocol_versions(provider::VERSIONS)?
            .with_client_cert_verifier(check)
            .with_cert_resolver(Arc::new(ServerCert { identity: identity.clone(), trust }));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would keep an identity past its leaf, or past its ban.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), identity })
    }

    /// What is shown to clients. A client need not care whether it has expired: whoever serves must.
    pub fn identity(&self) -> &LiveIdentity {
        &self.identity
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Shows the live identity.
#[derive(Debug)]
struct ServerCert {
    identity: LiveIdentity,
    trust: LiveTrust,
}

impl ResolvesServerCert for ServerCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identity = self.identity.current();
        let certified = identity.certified();
        if !matches!(identity.spiffe().subject, SpiffeSubject::Registry(_)) {
            return Some(Arc::clone(certified));
        }
        let mut chain = certified.cert.clone();
        chain.push(CertificateDer::from(self.trust.current().root_der().to_vec()));
        Some(Arc::new(CertifiedKey::new(chain, Arc::clone(&certified.key))))
    }
}

/// Checks what clients show.
#[derive(Debug)]
struct ClientCheck {
    trust: LiveTrust,
    auth: ClientAuth,
    pinned: PinnedPeers,
}

impl ClientCertVerifier for ClientCheck {
    fn client_auth_mandatory(&self) -> bool {
        self.auth == ClientAuth::Required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let bundle = self.trust.current();
        let trust = Trust { root: bundle.root(), revoked: bundle.revoked(), pinned: &self.pinned };
        let now = UnixMs(now.as_secs().saturating_mul(1000));
        trust
            .verify(leaf, others, Purpose::Client, now)
            .map(|_| ClientCertVerified::assertion())
            .map_err(refusal)
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
