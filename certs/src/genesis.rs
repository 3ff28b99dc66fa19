//! The genesis record's signature: made by the root before its key is sealed away, checked by everyone after the pin.

use holdfast_domain::{ClusterId, Genesis, RootHash, Signed, TrustDomain, genesis::MAX_GENESIS};
use holdfast_keys::{P256Public, labels, sign, verify_value};

use crate::{RootCertificate, root_certificate::parse_x509};

/// Why a genesis record is not a root's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisError {
    /// The root's key is none that signs records.
    #[error("the root certificate has no P-256 key")]
    Key,
    /// Signature or encoding.
    #[error("the genesis record")]
    Signature(#[source] sign::VerifyError),
    /// It names another root.
    #[error("the genesis record names root {0}, another one")]
    Root(RootHash),
    /// It names another cluster or trust domain.
    #[error("the genesis record is for cluster {0} in trust domain {1}, and the root for another one")]
    Cluster(ClusterId, TrustDomain),
}

impl RootCertificate {
    /// Checks that this root signed the record, and only then reads it.
    ///
    /// # Errors
    /// See [`GenesisError`].
    pub fn verify_genesis(&self, signed: &Signed<Genesis>) -> Result<Genesis, GenesisError> {
        let certificate = parse_x509(self.der()).ok_or(GenesisError::Key)?;
        let key = P256Public::from_spki_der(certificate.public_key().raw).map_err(|_| GenesisError::Key)?;
        let genesis =
            verify_value(signed, &key, labels::GENESIS, MAX_GENESIS).map_err(GenesisError::Signature)?;
        if genesis.root != self.hash() {
            return Err(GenesisError::Root(genesis.root));
        }
        if genesis.cluster != self.cluster() || genesis.trust_domain != *self.trust_domain() {
            return Err(GenesisError::Cluster(genesis.cluster, genesis.trust_domain));
        }
        Ok(genesis)
    }
}
