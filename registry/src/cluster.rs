//! What never changes about the cluster, read and prepared once.

use holdfast_certs::{GenesisError, RootCertificate};
use holdfast_domain::{ClusterId, Genesis, Signed};
use holdfast_proto::registry::v1::TrustBundle;
use holdfast_tpm_verify::{EkRoots, Malformed, PolicyKey, ek_certificate::EkRootsError};

use crate::services::wire;

/// Genesis record and root, checked against each other.
pub struct Cluster {
    genesis: Genesis,
    signed_genesis: Signed<Genesis>,
    root: RootCertificate,
    ek_roots: EkRoots,
    policy_key: PolicyKey,
}

/// Why a genesis record cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// It is not the root's.
    #[error("the genesis record")]
    Genesis(#[from] GenesisError),
    /// An EK root in it is no certificate.
    #[error("the EK roots of the genesis record")]
    EkRoots(#[from] EkRootsError),
    /// Its policy key is none.
    #[error("the PCR policy key of the genesis record")]
    PolicyKey(#[source] Malformed),
}

impl Cluster {
    /// Checks the record and prepares what it names.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub fn new(root: RootCertificate, signed_genesis: Signed<Genesis>) -> Result<Self, ClusterError> {
        let genesis = root.verify_genesis(&signed_genesis)?;
        let ek_roots = EkRoots::new(&genesis.ek_roots)?;
        let policy_key = PolicyKey::new(&genesis.pcr_policy_key).map_err(ClusterError::PolicyKey)?;
        Ok(Self { genesis, signed_genesis, root, ek_roots, policy_key })
    }

    /// Its id.
    pub fn id(&self) -> ClusterId {
        self.genesis.cluster
    }

    /// The genesis record.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The root certificate.
    pub fn root(&self) -> &RootCertificate {
        &self.root
    }

    /// The genesis record's EK roots.
    pub fn ek_roots(&self) -> &EkRoots {
        &self.ek_roots
    }

    /// The operators' PCR policy key.
    pub fn policy_key(&self) -> &PolicyKey {
        &self.policy_key
    }

    /// What everyone may know and must pin.
    pub fn bundle(&self, sequence: u64) -> TrustBundle {
        TrustBundle {
            cluster_id: self.id().as_bytes().to_vec().into(),
            trust_domain: self.genesis.trust_domain.as_str().to_owned(),
            root_der: self.root.der().to_vec().into(),
            sequence,
            genesis: Some(wire::signed_row(&self.signed_genesis)),
        }
    }
}
