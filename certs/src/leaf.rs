//! What a leaf certificate says, written and read in one place.

use holdfast_domain::{Home, SpiffeId, SpiffeSubject, SpkiHash, UnixMs};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
};
use x509_parser::certificate::X509Certificate;

use crate::{
    AuthorityKind, Serial, SubjectKey, VerifyError,
    extension::{read_home, write_home},
    peer::PeerIdentity,
    root_certificate::{only_uri, parse_x509},
    validity::Validity,
};

/// A leaf to issue.
#[derive(Debug, Clone)]
pub struct LeafRequest {
    /// Who the key will speak for, within the authority's trust domain.
    pub subject: SpiffeSubject,
    /// The key, from a checked request: [`crate::Csr::key`].
    pub key: SubjectKey,
    /// The issuer's clock.
    pub now: UnixMs,
    /// End of validity; cut to the authority's own.
    pub not_after: UnixMs,
    /// The account of a client; `None` for all others.
    pub home: Option<Home>,
}

/// What a role's certificates are like.
pub(crate) struct Profile {
    pub(crate) authority: AuthorityKind,
    /// Whether the role accepts connections; every role opens them.
    pub(crate) serves: bool,
    label: &'static str,
}

impl Profile {
    pub(crate) const fn of(subject: &SpiffeSubject) -> Self {
        let (authority, serves, label) = match subject {
            SpiffeSubject::Registry(_) => (AuthorityKind::Registry, true, "Holdfast registry"),
            SpiffeSubject::Node(_) => (AuthorityKind::Workload, true, "Holdfast node"),
            SpiffeSubject::Module { .. } => (AuthorityKind::Workload, true, "Holdfast module"),
            SpiffeSubject::Operator(_) => (AuthorityKind::Workload, false, "Holdfast operator"),
            SpiffeSubject::Client(_) => (AuthorityKind::Workload, false, "Holdfast client"),
        };
        Self { authority, serves, label }
    }

    /// Machines sign with P-256, because TPMs do; people may sign with Ed25519.
    pub(crate) fn allows(&self, key: &SubjectKey) -> bool {
        matches!(key, SubjectKey::P256(_)) || !self.serves
    }
}

/// Everything about a leaf but its serial number and its dates.
pub(crate) fn params(spiffe: &SpiffeId, home: Option<Home>) -> Result<CertificateParams, rcgen::Error> {
    let profile = Profile::of(&spiffe.subject);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, profile.label);
    params.subject_alt_names = vec![SanType::URI(spiffe.to_string().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if profile.serves {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.custom_extensions.extend(home.map(write_home));
    Ok(params)
}

/// A leaf as read. Says nothing about who signed it.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub(crate) identity: PeerIdentity,
    pub(crate) validity: Validity,
    pub(crate) server_auth: bool,
    pub(crate) client_auth: bool,
}

impl Leaf {
    /// Reads a leaf and refuses what we never issue.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, VerifyError> {
        let certificate = parse_x509(der).ok_or(VerifyError::Malformed)?;
        let uri = only_uri(&certificate).ok_or(VerifyError::Names)?;
        let spiffe: SpiffeId = uri.parse().map_err(VerifyError::Spiffe)?;
        let home = read_home(&certificate)?;
        if home.is_some() && !matches!(spiffe.subject, SpiffeSubject::Client(_)) {
            return Err(VerifyError::Home);
        }
        let (server_auth, client_auth) = usages(&certificate).ok_or(VerifyError::Usage)?;
        let validity = Validity::read(certificate.validity()).ok_or(VerifyError::Malformed)?;
        let spki_hash = SpkiHash::of_der(certificate.public_key().raw);
        let serial = Serial::try_from(certificate.raw_serial()).map_err(|_| VerifyError::Malformed)?;
        let identity = PeerIdentity { spiffe, spki_hash, serial, not_after: validity.not_after, home };
        Ok(Self { identity, validity, server_auth, client_auth })
    }
}

/// `(serverAuth, clientAuth)`, or `None` when key usage or extended key usage are not a leaf's.
fn usages(certificate: &X509Certificate<'_>) -> Option<(bool, bool)> {
    let key = certificate.key_usage().ok()??.value;
    let extended = certificate.extended_key_usage().ok()??.value;
    let leaf = key.digital_signature() && !key.key_cert_sign() && !key.crl_sign() && !extended.any;
    leaf.then_some((extended.server_auth, extended.client_auth))
}
