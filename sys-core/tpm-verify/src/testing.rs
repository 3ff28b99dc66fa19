//! What the tests of several modules share: fixtures of a real swtpm, and a software machine about to join.

use holdfast_domain::{
    ChallengeId, ClusterId, JoinEvidence, NodeRole, PcrSelection, PcrValue, RootHash, TpmPolicy, UnixMs,
};

use crate::attest::{Attest, ClockInfo};
use crate::ek_certificate::EkRoots;
use crate::join::{UnmeasuredPcrs, VerifyContext};
use crate::soft::{SoftJoin, SoftTpm};
use crate::{EkPublic, Public};

pub(crate) const EK_RSA: &[u8] = include_bytes!("../fixtures/swtpm-ek-rsa.public");
pub(crate) const EK_P384: &[u8] = include_bytes!("../fixtures/swtpm-ek-p384.public");
pub(crate) const EK_RSA_CERT: &[u8] = include_bytes!("../fixtures/swtpm-ek-rsa.der");
pub(crate) const EK_P384_CERT: &[u8] = include_bytes!("../fixtures/swtpm-ek-p384.der");
pub(crate) const INTERMEDIATE: &[u8] = include_bytes!("../fixtures/swtpm-intermediate.der");
pub(crate) const ROOT: &[u8] = include_bytes!("../fixtures/swtpm-root.der");
pub(crate) const OTHER_ROOT: &[u8] = include_bytes!("../fixtures/other-root.der");
/// Inside the validity of every fixture: 2027-01-15.
pub(crate) const NOW: UnixMs = UnixMs(1_800_000_000_000);

pub(crate) fn ek(bytes: &[u8]) -> EkPublic {
    EkPublic::new(Public::parse(bytes).unwrap()).unwrap()
}

/// A machine, its join, and what it is checked against; fields are for tests to spoil.
pub(crate) struct Fixture {
    pub(crate) tpm: SoftTpm,
    pub(crate) join: SoftJoin,
    pub(crate) roots: EkRoots,
    pub(crate) policy: TpmPolicy,
    pub(crate) unmeasured: UnmeasuredPcrs,
    pub(crate) last_clock: Option<ClockInfo>,
}

impl Fixture {
    /// A software machine in a cluster that admits such.
    pub(crate) fn soft() -> Self {
        let pcrs = [0u8, 7].map(|index| PcrValue { index, digest: [index + 1; 32] }).to_vec();
        let join = SoftJoin {
            cluster: ClusterId::new([1; 16]),
            challenge: ChallengeId::new([2; 16]),
            nonce: [3; 32],
            exporter: [4; 32],
            role: NodeRole::Node,
            selection: PcrSelection::try_from(vec![0, 7]).unwrap(),
            pcrs,
            clock: ClockInfo { clock_ms: 1000, reset_count: 3, restart_count: 1, safe: true },
        };
        Self {
            tpm: SoftTpm::new().unwrap(),
            join,
            roots: EkRoots::new(&[ROOT]).unwrap(),
            policy: TpmPolicy::AdmitsVirtual,
            unmeasured: UnmeasuredPcrs::Refuse,
            last_clock: None,
        }
    }

    /// A machine that shows a real EK with its certificate, in a cluster that wants one.
    pub(crate) fn certified(ek_public: &[u8]) -> Self {
        let mut fixture = Self::soft();
        fixture.tpm.ek = ek(ek_public);
        fixture.policy = TpmPolicy::HardwareOnly;
        fixture
    }

    pub(crate) fn evidence(&self) -> JoinEvidence {
        self.tpm.evidence(&self.join).unwrap()
    }

    pub(crate) fn certified_evidence(&self, certificate: &[u8]) -> JoinEvidence {
        JoinEvidence {
            ek_certificate: Some(certificate.to_vec()),
            ek_chain: vec![INTERMEDIATE.to_vec()],
            ..self.evidence()
        }
    }

    /// An attestation spoilt by `change` and signed again by the AK.
    pub(crate) fn resigned(
        &self,
        attest: &[u8],
        change: impl FnOnce(&mut Attest),
    ) -> holdfast_domain::Attested {
        let mut attest = Attest::parse(attest).unwrap();
        change(&mut attest);
        self.tpm.sign(&attest).unwrap()
    }

    pub(crate) fn context(&self) -> VerifyContext<'_> {
        VerifyContext {
            cluster: self.join.cluster,
            tpm_policy: self.policy,
            ek_roots: &self.roots,
            selection: &self.join.selection,
            unmeasured: self.unmeasured,
            last_clock: self.last_clock,
            now: NOW,
        }
    }
}

pub(crate) fn root_hash() -> RootHash {
    RootHash::of_der(ROOT)
}
