//! What a process trusts: one root, and the authorities below it that are no longer trusted.

use std::collections::BTreeSet;

use holdfast_domain::{ClusterId, RootHash, SpkiHash, TrustDomain};
use serde::{Deserialize, Serialize};

use crate::{RootCertificate, RootError, limits::MAX_REVOKED_AUTHORITIES};

/// A cluster's trust, versioned by a sequence number that only grows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TrustBundle {
    root: RootCertificate,
    sequence: u64,
    revoked: BTreeSet<SpkiHash>,
}

/// Why parts do not make a trust bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A bad root certificate.
    #[error("root certificate: {0}")]
    Root(#[from] RootError),
    /// The root is another cluster's.
    #[error("the root certificate is for cluster {actual}, not {expected}")]
    Cluster {
        /// The cluster the bundle claims.
        expected: ClusterId,
        /// The cluster in the root.
        actual: ClusterId,
    },
    /// The root is another trust domain's.
    #[error("the root certificate is for trust domain {actual}, not {expected}")]
    TrustDomain {
        /// The trust domain the bundle claims.
        expected: TrustDomain,
        /// The trust domain in the root.
        actual: TrustDomain,
    },
    /// Over [`MAX_REVOKED_AUTHORITIES`].
    #[error("{0} revoked authorities exceed the limit of {MAX_REVOKED_AUTHORITIES}")]
    TooManyRevoked(usize),
    /// An update with another root: what is pinned stays.
    #[error("an update cannot change the root")]
    RootChanged,
    /// An update that is older than what is known.
    #[error("trust bundle {offered} is older than {known}")]
    Stale {
        /// Sequence known so far.
        known: u64,
        /// Sequence of the update.
        offered: u64,
    },
}

impl TrustBundle {
    /// A bundle; cluster and trust domain must be those in the root.
    ///
    /// # Errors
    /// See [`BundleError`].
    pub fn new(
        cluster: ClusterId,
        trust_domain: &TrustDomain,
        root_der: &[u8],
        sequence: u64,
    ) -> Result<Self, BundleError> {
        let root = RootCertificate::parse(root_der)?;
        if root.cluster() != cluster {
            return Err(BundleError::Cluster { expected: cluster, actual: root.cluster() });
        }
        if root.trust_domain() != trust_domain {
            let actual = root.trust_domain().clone();
            return Err(BundleError::TrustDomain { expected: trust_domain.clone(), actual });
        }
        Ok(Self::of_root(root, sequence))
    }

    /// A bundle of a root that is already known to be the right one.
    pub fn of_root(root: RootCertificate, sequence: u64) -> Self {
        Self { root, sequence, revoked: BTreeSet::new() }
    }

    /// The same bundle, no longer trusting these authorities ([`crate::Authority::spki_hash`]).
    ///
    /// # Errors
    /// [`BundleError::TooManyRevoked`].
    pub fn with_revoked(self, revoked: BTreeSet<SpkiHash>) -> Result<Self, BundleError> {
        if revoked.len() > MAX_REVOKED_AUTHORITIES {
            return Err(BundleError::TooManyRevoked(revoked.len()));
        }
        Ok(Self { revoked, ..self })
    }

    /// The root.
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The root in DER.
    pub fn root_der(&self) -> &[u8] {
        self.root.der()
    }

    /// What nodes pin.
    pub fn root_hash(&self) -> RootHash {
        self.root.hash()
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.root.cluster()
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.root.trust_domain()
    }

    /// Grows with every change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Authorities that are no longer trusted.
    pub fn revoked(&self) -> &BTreeSet<SpkiHash> {
        &self.revoked
    }

    /// Whether `newer` may take this bundle's place.
    pub(crate) fn check_update(&self, newer: &Self) -> Result<(), BundleError> {
        if newer.root_hash() != self.root_hash() {
            return Err(BundleError::RootChanged);
        }
        if newer.sequence < self.sequence {
            return Err(BundleError::Stale { known: self.sequence, offered: newer.sequence });
        }
        Ok(())
    }
}

/// The stored form: what cannot be derived from the root certificate.
#[derive(Serialize, Deserialize)]
struct Stored {
    root_der: Vec<u8>,
    sequence: u64,
    revoked: BTreeSet<SpkiHash>,
}

impl TryFrom<Stored> for TrustBundle {
    type Error = BundleError;

    fn try_from(Stored { root_der, sequence, revoked }: Stored) -> Result<Self, BundleError> {
        Self::of_root(RootCertificate::parse(&root_der)?, sequence).with_revoked(revoked)
    }
}

impl From<TrustBundle> for Stored {
    fn from(TrustBundle { root, sequence, revoked }: TrustBundle) -> Self {
        Self { root_der: root.der().to_vec(), sequence, revoked }
    }
}
