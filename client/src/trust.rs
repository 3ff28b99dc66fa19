//! What a client believes of a cluster: the pinned root, and the genesis record that this root signed.

use holdfast_certs::{BundleError, LiveTrust, RootCertificate, RootError, TrustBundle};
use holdfast_domain::{
    ClusterId, Genesis, RootHash, Signature64, Signed, TrustDomain,
    codec::{self, CodecError},
    genesis::MAX_GENESIS,
};
use holdfast_keys::{P256Public, p256_public::PublicKeyError};
use holdfast_proto::registry::v1 as pb;

/// Room for a genesis record's signature and framing.
const MAX_SIGNED_GENESIS: usize = MAX_GENESIS + 128;

/// A cluster's root and genesis record, checked against a pin.
#[derive(Clone)]
pub struct Trust {
    root: RootCertificate,
    genesis: Genesis,
    signed: Signed<Genesis>,
    map_key: P256Public,
    sequence: u64,
}

/// Why a cluster's root or genesis record is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Another root than the pinned one.
    #[error("the cluster's root is {actual}, not the pinned {pinned}")]
    Pin {
        /// What was expected.
        pinned: RootHash,
        /// What came.
        actual: RootHash,
    },
    /// No root certificate.
    #[error("the root certificate")]
    Root(#[source] RootError),
    /// The genesis record is missing.
    #[error("the genesis record is missing")]
    NoGenesis,
    /// The genesis record does not decode.
    #[error("the genesis record is malformed")]
    Malformed(#[source] CodecError),
    /// The genesis record is not this root's.
    #[error("the genesis record does not verify")]
    Genesis(#[source] holdfast_certs::GenesisError),
    /// A key in the genesis record is none.
    #[error("the map key of the genesis record")]
    MapKey(#[source] PublicKeyError),
    /// Cluster or trust domain are not the root's.
    #[error("the trust bundle")]
    Bundle(#[source] BundleError),
    /// A name in the bundle is malformed.
    #[error("the trust bundle is malformed")]
    BundleShape,
}

impl Trust {
    /// Checks a root and a genesis record against the pin.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn new(pin: RootHash, root_der: &[u8], signed: Signed<Genesis>) -> Result<Self, TrustError> {
        let actual = RootHash::of_der(root_der);
        if actual != pin {
            return Err(TrustError::Pin { pinned: pin, actual });
        }
        let root = RootCertificate::parse(root_der).map_err(TrustError::Root)?;
        let genesis = root.verify_genesis(&signed).map_err(TrustError::Genesis)?;
        let map_key = P256Public::from_point(&genesis.map_key).map_err(TrustError::MapKey)?;
        Ok(Self { root, genesis, signed, map_key, sequence: 0 })
    }

    /// Checks what a registry sent.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn from_wire(pin: RootHash, bundle: &pb::TrustBundle) -> Result<Self, TrustError> {
        let pb::TrustBundle { cluster_id, trust_domain, root_der, sequence, genesis } = bundle;
        let row = genesis.as_ref().ok_or(TrustError::NoGenesis)?;
        let signature = <[u8; 64]>::try_from(&*row.signature).map_err(|_| TrustError::NoGenesis)?;
        let signed = Signed::from_parts(row.bytes.to_vec(), Signature64(signature));
        let cluster = ClusterId::try_from(&**cluster_id).map_err(|_| TrustError::BundleShape)?;
        let domain: TrustDomain = trust_domain.parse().map_err(|_| TrustError::BundleShape)?;
        let trust = Self::new(pin, root_der, signed)?;
        TrustBundle::new(cluster, &domain, root_der, *sequence).map_err(TrustError::Bundle)?;
        Ok(Self { sequence: *sequence, ..trust })
    }

    /// Checks what [`Self::encode_genesis`] and [`Self::root_der`] once gave.
    ///
    /// # Errors
    /// See [`TrustError`].
    pub fn from_stored(pin: RootHash, root_der: &[u8], genesis: &[u8]) -> Result<Self, TrustError> {
        let signed = codec::decode(genesis, MAX_SIGNED_GENESIS).map_err(TrustError::Malformed)?;
        Self::new(pin, root_der, signed)
    }

    /// The signed genesis record as it is stored.
    ///
    /// # Errors
    /// Never for a record that was checked; the encoder's signature has one.
    pub fn encode_genesis(&self) -> Result<Vec<u8>, TrustError> {
        codec::encode(&self.signed).map_err(TrustError::Malformed)
    }

    /// The root certificate in DER.
    pub fn root_der(&self) -> &[u8] {
        self.root.der()
    }

    /// The pin.
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

    /// How the cluster began.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Verifies shard maps.
    pub fn map_key(&self) -> P256Public {
        self.map_key
    }

    /// What connections are checked against.
    pub fn live(&self) -> LiveTrust {
        LiveTrust::new(TrustBundle::of_root(self.root.clone(), self.sequence))
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A genesis record for the CA that tests have.

    use holdfast_certs::{Authority, testing::TestCluster};
    use holdfast_domain::{
        Genesis, NodeId, OperatorKey, PcrSelection, RecoveryKey, Signed, TpmPolicy, UnixMs,
    };
    use holdfast_keys::{Signer as _, SoftSigner, labels, sign_value};

    use super::Trust;

    /// A cluster whose root signed a genesis record, and the keys in it.
    pub(crate) struct Founded {
        pub(crate) root_der: Vec<u8>,
        pub(crate) signed: Signed<Genesis>,
        pub(crate) map_signer: SoftSigner,
        pub(crate) policy_signer: SoftSigner,
        pub(crate) registry: Authority,
        pub(crate) workload: Authority,
    }

    impl Founded {
        pub(crate) fn new(cluster: TestCluster, operator: Option<OperatorKey>) -> Self {
            let (map_signer, policy_signer) =
                (SoftSigner::generate().unwrap(), SoftSigner::generate().unwrap());
            let root = cluster.root.certificate().clone();
            let genesis = Genesis {
                cluster: root.cluster(),
                trust_domain: root.trust_domain().clone(),
                created: UnixMs(1),
                root: root.hash(),
                founder: NodeId::new([1; 16]),
                tpm_policy: TpmPolicy::AdmitsVirtual,
                ek_roots: vec![],
                pcr_selection: PcrSelection::try_from(vec![7, 11]).unwrap(),
                pcr_policy_key: policy_signer.public().to_point(),
                recovery: RecoveryKey::new([3; 32]),
                recovery_threshold: 3,
                recovery_shares: 5,
                operators: operator.into_iter().collect(),
                operator_threshold: 1,
                map_key: map_signer.public().to_point(),
            };
            let TestCluster { root: ca, registry, workload, now: _ } = cluster;
            let key = SoftSigner::from_pkcs8_der(&ca.into_key_bytes().unwrap()).unwrap();
            let signed = sign_value(&key, labels::GENESIS, &genesis).unwrap();
            Self { root_der: root.der().to_vec(), signed, map_signer, policy_signer, registry, workload }
        }

        pub(crate) fn trust(&self) -> Trust {
            let pin = holdfast_domain::RootHash::of_der(&self.root_der);
            Trust::new(pin, &self.root_der, self.signed.clone()).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_certs::testing::TestCluster;

    use super::{testing::Founded, *};

    #[test]
    fn another_root_than_the_pinned_one_is_refused() {
        let founded = Founded::new(TestCluster::fresh().unwrap(), None);
        let error = Trust::new(RootHash::new([9; 32]), &founded.root_der, founded.signed.clone());
        assert!(matches!(error, Err(TrustError::Pin { .. })));
    }

    #[test]
    fn a_genesis_record_of_another_root_is_refused() {
        let ours = Founded::new(TestCluster::fresh().unwrap(), None);
        let theirs = Founded::new(TestCluster::fresh().unwrap(), None);
        let pin = RootHash::of_der(&ours.root_der);
        assert!(matches!(
            Trust::new(pin, &ours.root_der, theirs.signed.clone()),
            Err(TrustError::Genesis(_))
        ));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let trust = Founded::new(TestCluster::fresh().unwrap(), None).trust();
        let again = Trust::from_stored(trust.root_hash(), trust.root_der(), &trust.encode_genesis().unwrap())
            .unwrap();
        assert_eq!(again.genesis(), trust.genesis());
    }
}
