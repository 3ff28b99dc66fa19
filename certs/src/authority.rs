//! An authority: the intermediate that signs leaves, of one kind and for one trust domain.

use holdfast_domain::{SpiffeId, SpiffeSubject, SpkiHash, TrustDomain};
use holdfast_keys::{Signer as _, SoftSigner, sign::PrivateKeyError};
use rcgen::{Issuer, SerialNumber};
use zeroize::Zeroizing;

use crate::{
    AuthorityKind, CertChain, ExtensionError, LeafRequest, RootError,
    extension::read_authority_kind,
    leaf::{self, Profile},
    limits::BACKDATE_MS,
    remote_key::RemoteP256,
    root_certificate::{parse_x509, read_trust_domain},
    validity::Validity,
};

/// An authority's certificate together with its key. Held in memory by voters, sealed everywhere else.
pub struct Authority {
    kind: AuthorityKind,
    trust_domain: TrustDomain,
    validity: Validity,
    cert_der: Vec<u8>,
    key: SoftSigner,
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The operating system gave no randomness.
    #[error("no randomness for a serial number")]
    Entropy,
    /// A key could not be made.
    #[error("no new key")]
    NoKey(#[source] PrivateKeyError),
    /// A key could not be written.
    #[error("the key cannot be encoded")]
    KeyEncoding(#[source] PrivateKeyError),
    /// Certificate and key do not belong together, or the certificate is no authority's.
    #[error("certificate and key are not those of one authority")]
    Parts,
    /// A bad root certificate.
    #[error("root certificate: {0}")]
    Root(#[from] RootError),
    /// A bad private extension.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// This kind of authority does not vouch for that kind of identity.
    #[error("a {kind:?} authority does not vouch for {subject}")]
    Kind {
        /// The authority's kind.
        kind: AuthorityKind,
        /// The refused identity.
        subject: SpiffeSubject,
    },
    /// Machines have P-256 keys.
    #[error("{0} must have a P-256 key")]
    KeyAlgorithm(SpiffeSubject),
    /// Only clients have a home.
    #[error("{0} cannot have a home")]
    Home(SpiffeSubject),
    /// Nothing would be left of the leaf's validity.
    #[error("validity is over before it begins")]
    Validity,
    /// Encoding or signing failed.
    #[error("encoding or signing a certificate failed")]
    Encode(#[from] rcgen::Error),
}

impl Authority {
    /// Puts an authority together from its certificate and its key.
    ///
    /// # Errors
    /// [`IssueError::Parts`] when they do not belong together.
    pub fn from_parts(cert_der: Vec<u8>, key: SoftSigner) -> Result<Self, IssueError> {
        let certificate = parse_x509(&cert_der).ok_or(IssueError::Parts)?;
        if !certificate.is_ca() || certificate.public_key().raw != key.public().to_spki_der() {
            return Err(IssueError::Parts);
        }
        let kind = read_authority_kind(&certificate)?.ok_or(IssueError::Parts)?;
        let trust_domain = read_trust_domain(&certificate).ok_or(IssueError::Parts)?;
        let validity = Validity::read(certificate.validity()).ok_or(IssueError::Parts)?;
        Ok(Self { kind, trust_domain, validity, cert_der, key })
    }

    /// The certificate, and the key in PKCS#8, for the caller to seal.
    ///
    /// # Errors
    /// [`IssueError::KeyEncoding`]: not in practice.
    pub fn to_parts(&self) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), IssueError> {
        let key = self.key.expose_pkcs8_der().map_err(IssueError::KeyEncoding)?;
        Ok((self.cert_der.clone(), key))
    }

    /// What this authority may vouch for.
    pub fn kind(&self) -> AuthorityKind {
        self.kind
    }

    /// The certificate in DER.
    pub fn cert_der(&self) -> &[u8] {
        &self.cert_der
    }

    /// How a trust bundle names this authority when it revokes it.
    pub fn spki_hash(&self) -> SpkiHash {
        self.key.public().spki_hash()
    }

    /// Issues a leaf, back-dated by five minutes.
    ///
    /// # Errors
    /// [`IssueError`]: the wrong kind of identity, key or home, or no validity left.
    pub fn issue(&self, request: &LeafRequest) -> Result<CertChain, IssueError> {
        let LeafRequest { subject, key, now, not_after, home } = request;
        let profile = Profile::of(subject);
        if profile.authority != self.kind {
            return Err(IssueError::Kind { kind: self.kind, subject: subject.clone() });
        }
        if !profile.allows(key) {
            return Err(IssueError::KeyAlgorithm(subject.clone()));
        }
        if home.is_some() && !matches!(subject, SpiffeSubject::Client(_)) {
            return Err(IssueError::Home(subject.clone()));
        }
        let spiffe = SpiffeId { trust_domain: self.trust_domain.clone(), subject: subject.clone() };
        let lifetime_ms = not_after.since(*now);
        let validity = Validity::starting(*now, lifetime_ms).within(self.validity);
        if validity.not_after.since(validity.not_before) <= BACKDATE_MS {
            return Err(IssueError::Validity);
        }
        let mut params = leaf::params(&spiffe, *home)?;
        params.serial_number = Some(random_serial()?);
        validity.write(&mut params);

        let authority_der = self.cert_der.as_slice().into();
        let issuer = Issuer::from_ca_cert_der(&authority_der, RemoteP256::new(&self.key))?;
        let leaf_der = params.signed_by(&key.to_rcgen()?, &issuer)?.der().to_vec();
        Ok(CertChain::new(leaf_der, self.cert_der.clone()))
    }
}

/// 126 random bits. The top bits are fixed, so that every serial has 16 bytes and none is negative.
pub(crate) fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; crate::Serial::LEN];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IssueError::Entropy)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x3f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&bytes))
}
