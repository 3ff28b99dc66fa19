//! A whole cluster's CA in memory, for tests of every crate. Makes nothing that the public API does not.

use std::sync::Arc;

use holdfast_domain::{ClientId, ClusterId, Home, NodeId, SpiffeSubject, TrustDomain, UnixMs};
use holdfast_keys::{ClientKey, Signer as _, SoftSigner};

use crate::{
    Authority, AuthorityKind, CertChain, Identity, LeafRequest, LiveIdentity, LiveTrust, RootCa, SubjectKey,
    TrustBundle,
};

/// Life of a test's leaves.
const LEAF_MS: u64 = 3_600_000;

/// Any failure, for tests to unwrap.
pub type TestError = Box<dyn std::error::Error + Send + Sync>;

/// Root, both authorities and a trust bundle.
pub struct TestCluster {
    /// The root.
    pub root: RootCa,
    /// Vouches for registries.
    pub registry: Authority,
    /// Vouches for everybody else.
    pub workload: Authority,
    /// When this cluster was made.
    pub now: UnixMs,
}

impl TestCluster {
    /// A cluster made at `now`, in the trust domain `test`.
    ///
    /// # Errors
    /// When making a key or a certificate fails.
    pub fn new(cluster: ClusterId, now: UnixMs) -> Result<Self, TestError> {
        let trust_domain: TrustDomain = "test".parse()?;
        let root = RootCa::create(cluster, &trust_domain, now)?;
        let registry = root.sign_intermediate(AuthorityKind::Registry, 1, now)?;
        let workload = root.sign_intermediate(AuthorityKind::Workload, 1, now)?;
        Ok(Self { root, registry, workload, now })
    }

    /// A cluster made a moment ago.
    ///
    /// # Errors
    /// When making a key or a certificate fails.
    pub fn fresh() -> Result<Self, TestError> {
        let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        Self::new(ClusterId::new([7; 16]), UnixMs(u64::try_from(elapsed.as_millis())?))
    }

    /// The first trust bundle.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::of_root(self.root.certificate().clone(), 1)
    }

    /// [`Self::bundle`], ready for use.
    pub fn trust(&self) -> LiveTrust {
        LiveTrust::new(self.bundle())
    }

    /// A leaf of an hour from the authority for this subject.
    ///
    /// # Errors
    /// When issuing fails.
    pub fn issue(
        &self,
        subject: SpiffeSubject,
        key: SubjectKey,
        home: Option<Home>,
    ) -> Result<CertChain, TestError> {
        let authority =
            if matches!(subject, SpiffeSubject::Registry(_)) { &self.registry } else { &self.workload };
        let not_after = self.now.plus_ms(LEAF_MS);
        Ok(authority.issue(&LeafRequest { subject, key, now: self.now, not_after, home })?)
    }

    /// An identity with a fresh P-256 key.
    ///
    /// # Errors
    /// When issuing fails.
    pub fn identity(&self, subject: SpiffeSubject) -> Result<Identity, TestError> {
        let key = SoftSigner::generate()?;
        let chain = self.issue(subject, key.public().into(), None)?;
        Ok(Identity::from_soft(chain, &key)?)
    }

    /// `/registry/<id>` with a fresh key.
    ///
    /// # Errors
    /// When issuing fails.
    pub fn registry(&self, id: NodeId) -> Result<LiveIdentity, TestError> {
        self.identity(SpiffeSubject::Registry(id)).map(LiveIdentity::new)
    }

    /// `/node/<id>` with a fresh key.
    ///
    /// # Errors
    /// When issuing fails.
    pub fn node(&self, id: NodeId) -> Result<LiveIdentity, TestError> {
        self.identity(SpiffeSubject::Node(id)).map(LiveIdentity::new)
    }

    /// `/operator/<name>` with a fresh P-256 key.
    ///
    /// # Errors
    /// When the name is none or issuing fails.
    pub fn operator(&self, name: &str) -> Result<LiveIdentity, TestError> {
        self.identity(SpiffeSubject::Operator(name.parse()?)).map(LiveIdentity::new)
    }

    /// `/client/<id>` of an account, with this Ed25519 key.
    ///
    /// # Errors
    /// When issuing fails.
    pub fn client(&self, id: ClientId, home: Home, key: Arc<ClientKey>) -> Result<LiveIdentity, TestError> {
        let chain = self.issue(SpiffeSubject::Client(id), key.public().into(), Some(home))?;
        Ok(LiveIdentity::new(Identity::from_client_key(chain, key)?))
    }
}
