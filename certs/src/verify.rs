//! Is this chain an identity of this cluster? The one answer, for both ends of TLS and for anybody else.
//!
//! webpki checks signatures, dates, CA flags and path lengths. Then we check what X.509 leaves open: exactly one
//! authority between leaf and root, its kind, exactly one `spiffe://` name in our trust domain, a role that
//! this kind of authority vouches for, and the purpose, which the leaf must state.

use std::{collections::BTreeSet, time::Duration};

use holdfast_domain::{Reason, SpiffeSubject, SpkiHash, UnixMs};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::{
    AuthorityKind, CertChain, ExtensionError, PeerIdentity, PinnedPeers, RootCertificate, TrustBundle,
    extension::read_authority_kind,
    leaf::{Leaf, Profile},
    limits::{MAX_CERTIFICATE_LEN, MAX_CHAIN_LEN},
    root_certificate::parse_x509,
};

/// Root, authorities and nothing else sign certificates here, all with P-256.
const CERTIFICATE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] =
    &[webpki::aws_lc_rs::ECDSA_P256_SHA256];

/// Which end of a connection a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The end that accepts.
    Server,
    /// The end that opens.
    Client,
}

/// Why a chain was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Too many certificates, or one that is too large.
    #[error("the chain has more than {MAX_CHAIN_LEN} certificates or one over {MAX_CERTIFICATE_LEN} bytes")]
    TooLarge,
    /// Not a certificate of ours.
    #[error("not an X.509 certificate in the form this cluster issues")]
    Malformed,
    /// Not signed below the root, or not for now.
    #[error("the chain does not hold: {0}")]
    Chain(webpki::Error),
    /// No certificate in the chain has the pinned hash.
    #[error("the chain does not include the pinned root")]
    NotThePinnedRoot,
    /// Not leaf, authority, root.
    #[error("the leaf is not signed by exactly one authority below the root")]
    Depth,
    /// The authority does not say what it may vouch for.
    #[error("the authority is of no kind")]
    NoKind,
    /// A registry identity from a workload authority, or the other way round.
    #[error("a {kind:?} authority does not vouch for {subject}")]
    Kind {
        /// The authority's kind.
        kind: AuthorityKind,
        /// The identity in the leaf.
        subject: SpiffeSubject,
    },
    /// The trust bundle lists the authority as revoked.
    #[error("the authority is revoked")]
    Revoked,
    /// Not exactly one name, or one that is no URI.
    #[error("the leaf must have exactly one name, a URI")]
    Names,
    /// The URI is none of our identities.
    #[error("the leaf's name is no identity")]
    Spiffe(#[source] holdfast_domain::spiffe::SpiffeError),
    /// A name in another trust domain.
    #[error("the leaf is for another trust domain")]
    TrustDomain,
    /// A home in a certificate that is not a client's.
    #[error("only a client's certificate has a home")]
    Home,
    /// Key usage or extended key usage do not fit.
    #[error("the leaf is not for this use")]
    Usage,
    /// A bad private extension.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// A valid identity, but not the one that was dialed.
    #[error("{actual} answered instead of {expected}")]
    NotExpected {
        /// Who was dialed.
        expected: String,
        /// Who answered.
        actual: SpiffeSubject,
    },
}

impl VerifyError {
    /// Whether a certificate is over or not valid yet by this machine's clock: one of the two clocks may be wrong.
    pub fn is_out_of_time(&self) -> bool {
        matches!(self, Self::Chain(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }))
    }

    /// The stable reason, where there is one: the peer is of another cluster, or in another role.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Chain(webpki::Error::UnknownIssuer) | Self::NotThePinnedRoot | Self::TrustDomain => {
                Some(Reason::WrongCluster)
            }
            Self::NotExpected { .. } | Self::Kind { .. } => Some(Reason::WrongRole),
            _ => None,
        }
    }
}

/// Checks a chain against a trust bundle.
///
/// # Errors
/// See [`VerifyError`]. Nothing panics on any bytes.
pub fn verify_chain(
    bundle: &TrustBundle,
    chain: &CertChain,
    purpose: Purpose,
    now: UnixMs,
) -> Result<PeerIdentity, VerifyError> {
    let trust = Trust { root: bundle.root(), revoked: bundle.revoked(), pinned: &PinnedPeers::none() };
    let ders: Vec<CertificateDer<'_>> = chain.ders().iter().map(|der| der.as_slice().into()).collect();
    let (leaf, rest) = ders.split_first().ok_or(VerifyError::Malformed)?;
    trust.verify(leaf, rest, purpose, now)
}

/// Everything a chain is checked against.
pub(crate) struct Trust<'a> {
    pub(crate) root: &'a RootCertificate,
    pub(crate) revoked: &'a BTreeSet<SpkiHash>,
    pub(crate) pinned: &'a PinnedPeers,
}

impl Trust<'_> {
    pub(crate) fn verify(
        &self,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixMs,
    ) -> Result<PeerIdentity, VerifyError> {
        let sizes = others.iter().all(|der| der.len() <= MAX_CERTIFICATE_LEN);
        if others.len() >= MAX_CHAIN_LEN || !sizes {
            return Err(VerifyError::TooLarge);
        }
        let leaf = Leaf::parse(leaf_der)?;
        let profile = Profile::of(&leaf.identity.spiffe.subject);
        let kind = self.authority_kind(leaf_der, others, purpose, self.moment(&leaf, now))?;
        if kind != profile.authority {
            return Err(VerifyError::Kind { kind, subject: leaf.identity.spiffe.subject });
        }
        if leaf.identity.spiffe.trust_domain != *self.root.trust_domain() {
            return Err(VerifyError::TrustDomain);
        }
        let stated = match purpose {
            Purpose::Server => leaf.server_auth && profile.serves,
            Purpose::Client => leaf.client_auth,
        };
        if stated { Ok(leaf.identity) } else { Err(VerifyError::Usage) }
    }

    /// The moment at which the chain must hold: now, but for a pinned voter the nearest one at which its
    /// leaf was valid. Issuing keeps a leaf's validity within its authority's, so that moment suits both.
    fn moment(&self, leaf: &Leaf, now: UnixMs) -> UnixMs {
        let registry = matches!(leaf.identity.spiffe.subject, SpiffeSubject::Registry(_));
        if registry && self.pinned.contains(&leaf.identity.spki_hash) {
            now.min(leaf.validity.not_after).max(leaf.validity.not_before)
        } else {
            now
        }
    }

    /// Checks signatures and dates up to the root and returns the kind of the only authority in between.
    fn authority_kind(
        &self,
        leaf_der: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        purpose: Purpose,
        at: UnixMs,
    ) -> Result<AuthorityKind, VerifyError> {
        // Required only where present, because webpki would ask it of the authority too; the leaf's own is
        // checked by the caller.
        let usage = match purpose {
            Purpose::Server => KeyUsage::server_auth(),
            Purpose::Client => KeyUsage::client_auth(),
        };
        let at = UnixTime::since_unix_epoch(Duration::from_millis(at.0));
        let leaf = EndEntityCert::try_from(leaf_der).map_err(VerifyError::Chain)?;
        let anchors = std::slice::from_ref(&self.root.anchor);
        let path = leaf
            .verify_for_usage(CERTIFICATE_ALGORITHMS, anchors, others, at, usage, None, None)
            .map_err(VerifyError::Chain)?;
        let mut authorities = path.intermediate_certificates();
        let (Some(authority), None) = (authorities.next(), authorities.next()) else {
            return Err(VerifyError::Depth);
        };
        if self.revoked.contains(&SpkiHash::of_der(&authority.subject_public_key_info())) {
            return Err(VerifyError::Revoked);
        }
        let authority_der = authority.der();
        let parsed = parse_x509(&authority_der).ok_or(VerifyError::Malformed)?;
        read_authority_kind(&parsed)?.ok_or(VerifyError::NoKind)
    }
}

#[cfg(test)]
mod tests;
