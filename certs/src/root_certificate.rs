//! The cluster's root certificate, as everybody else sees it: a pin, a cluster, a trust domain.

use holdfast_domain::{ClusterId, RootHash, TrustDomain};
use rustls_pki_types::{CertificateDer, TrustAnchor};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName};

use crate::{
    extension::{ExtensionError, read_cluster},
    limits::MAX_CERTIFICATE_LEN,
    validity::Validity,
};

/// A root certificate in DER, read once.
#[derive(Debug, Clone)]
pub struct RootCertificate {
    der: Vec<u8>,
    hash: RootHash,
    cluster: ClusterId,
    trust_domain: TrustDomain,
    pub(crate) validity: Validity,
    pub(crate) anchor: TrustAnchor<'static>,
}

/// Why a certificate is not the root of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// Not an X.509 certificate of sane size, or bytes left over after it.
    #[error("not an X.509 certificate of at most {MAX_CERTIFICATE_LEN} bytes")]
    Malformed,
    /// Not a self-issued CA certificate.
    #[error("not a self-issued CA certificate")]
    NotARoot,
    /// It does not say which cluster it is for.
    #[error("names no cluster")]
    NoCluster,
    /// It does not say which trust domain it is for.
    #[error("must have exactly one URI SAN, spiffe://<trust-domain>")]
    NoTrustDomain,
    /// A bad private extension.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
}

impl RootCertificate {
    /// Reads a root. Whether it is the right one is the caller's to know: by its hash.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn parse(der: &[u8]) -> Result<Self, RootError> {
        let certificate = parse_x509(der).ok_or(RootError::Malformed)?;
        if !certificate.is_ca() || certificate.subject().as_raw() != certificate.issuer().as_raw() {
            return Err(RootError::NotARoot);
        }
        let owned = CertificateDer::from(der.to_vec());
        let anchor = webpki::anchor_from_trusted_cert(&owned).map_err(|_| RootError::Malformed)?.to_owned();
        Ok(Self {
            hash: RootHash::of_der(der),
            cluster: read_cluster(&certificate)?.ok_or(RootError::NoCluster)?,
            trust_domain: read_trust_domain(&certificate).ok_or(RootError::NoTrustDomain)?,
            validity: Validity::read(certificate.validity()).ok_or(RootError::Malformed)?,
            anchor,
            der: der.to_vec(),
        })
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What nodes pin.
    pub fn hash(&self) -> RootHash {
        self.hash
    }

    /// The cluster that this is the root of.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The trust domain of every identity below this root.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }
}

/// Reads one certificate of at most [`MAX_CERTIFICATE_LEN`] bytes with nothing after it.
pub(crate) fn parse_x509(der: &[u8]) -> Option<X509Certificate<'_>> {
    if der.len() > MAX_CERTIFICATE_LEN {
        return None;
    }
    x509_parser::parse_x509_certificate(der)
        .ok()
        .and_then(|(rest, certificate)| rest.is_empty().then_some(certificate))
}

/// The trust domain in a CA's only SAN (SPIFFE X509-SVID, 3: a CA has a SPIFFE ID without a path).
pub(crate) fn read_trust_domain(certificate: &X509Certificate<'_>) -> Option<TrustDomain> {
    only_uri(certificate)?.strip_prefix("spiffe://")?.parse().ok()
}

/// The URI of a certificate that has exactly one subject alternative name.
pub(crate) fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    match certificate.subject_alternative_name().ok()??.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => Some(uri),
        _ => None,
    }
}
