//! The roots that EK certificates chain to, prepared once, and the chain check itself.

use std::time::Duration;

use holdfast_domain::{RootHash, UnixMs};
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::leaf::EKU_DER;

/// Configured EK roots.
pub struct EkRoots {
    anchors: Vec<TrustAnchor<'static>>,
    hashes: Vec<RootHash>,
}

/// A configured root that is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("EK root {0} is not a usable certificate")]
pub struct EkRootsError(pub RootHash, #[source] webpki::Error);

impl EkRoots {
    /// Prepares root certificates, DER.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn new<R: AsRef<[u8]>>(roots: &[R]) -> Result<Self, EkRootsError> {
        let mut prepared = Self { anchors: Vec::new(), hashes: Vec::new() };
        for root in roots {
            let hash = RootHash::of_der(root.as_ref());
            let der = CertificateDer::from(root.as_ref());
            let anchor = anchor_from_trusted_cert(&der).map_err(|error| EkRootsError(hash, error))?;
            prepared.anchors.push(anchor.to_owned());
            prepared.hashes.push(hash);
        }
        Ok(prepared)
    }

    /// Chains `leaf` to one of the roots: signatures, validity at `now`, CA flags, path lengths, name constraints.
    ///
    /// The EK usage is asked of certificates that carry usages at all: vendors' intermediates rarely do. The leaf's own check is
    /// [`super::EkCertificate::parse`]'s.
    pub(crate) fn chain(
        &self,
        leaf: &[u8],
        chain: &[Vec<u8>],
        now: UnixMs,
    ) -> Result<RootHash, webpki::Error> {
        let leaf = CertificateDer::from(leaf);
        let leaf = EndEntityCert::try_from(&leaf)?;
        let intermediates: Vec<CertificateDer<'_>> =
            chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
        let usage = KeyUsage::required_if_present(EKU_DER);
        let path = leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &self.anchors,
            &intermediates,
            time,
            usage,
            None,
            None,
        )?;
        let anchor = path.anchor();
        let found = self.anchors.iter().zip(&self.hashes).find(|(candidate, _)| *candidate == anchor);
        found.map(|(_, hash)| *hash).ok_or(webpki::Error::UnknownIssuer)
    }
}

impl std::fmt::Debug for EkRoots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.hashes).finish()
    }
}
