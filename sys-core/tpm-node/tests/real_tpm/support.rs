//! A provisioned software TPM, and an approval of the boot state it is in.

use std::path::{Path, PathBuf};

use holdfast_domain::{ClusterId, NodeRole, PcrApproval, PcrSelection, PcrValue, PolicyEpoch};
use holdfast_keys::SoftSigner;
use holdfast_keys::sign::Signer as _;
use holdfast_tpm_node::swtpm::{EkAuthority, SoftTpm};
use holdfast_tpm_node::{EkKind, NodeKeys, ProvisionOptions, Tpm};
use holdfast_tpm_verify::approval::{PolicyKey, approval_message};
use holdfast_tpm_verify::{PcrPolicyProof, TpmTarget};

pub(crate) fn cluster() -> ClusterId {
    ClusterId::new([7; 16])
}

pub(crate) fn selection() -> PcrSelection {
    PcrSelection::try_from(vec![0, 7, 11]).unwrap()
}

/// One authority for all tests, as in a cluster; kept between runs, because making one takes seconds.
pub(crate) fn ca_dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("ek-ca")
}

pub(crate) fn authority() -> EkAuthority {
    EkAuthority::open(&ca_dir()).unwrap()
}

pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) soft: SoftTpm,
    pub(crate) tpm: Tpm,
    pub(crate) keys: NodeKeys,
}

impl Machine {
    pub(crate) async fn new() -> Self {
        Self::with_ek(None).await
    }

    pub(crate) async fn with_ek(ek: Option<EkKind>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let soft = SoftTpm::fresh(&ca_dir(), &dir.path().join("tpm")).unwrap();
        let tpm = Tpm::open(&soft.tcti()).unwrap();
        let keys = tpm.provision(ProvisionOptions { ek, ..options(dir.path()) }).await.unwrap();
        Self { dir, soft, tpm, keys }
    }

    pub(crate) fn target(&self) -> TpmTarget<'_> {
        TpmTarget { ek: &self.keys.ek, ak_name: self.keys.ak.name(), srk: &self.keys.srk }
    }

    pub(crate) async fn pcrs(&self) -> Vec<PcrValue> {
        self.tpm.pcr_values(&selection()).await.unwrap()
    }

    /// Plays a measured boot.
    pub(crate) async fn boot(&self) {
        for index in [0, 7, 11] {
            self.tpm.extend_pcr(index, [index + 1; 32]).await.unwrap();
        }
    }
}

pub(crate) fn options(dir: &Path) -> ProvisionOptions {
    ProvisionOptions {
        extra_chain: vec![authority().intermediate_der().unwrap()],
        ..ProvisionOptions::new(dir.join("keys"))
    }
}

/// The operators of these tests.
pub(crate) struct Operators {
    signer: SoftSigner,
}

impl Operators {
    pub(crate) fn new() -> Self {
        Self { signer: SoftSigner::generate().unwrap() }
    }

    pub(crate) fn policy_key(&self) -> PolicyKey {
        PolicyKey::new(&self.signer.public().to_point()).unwrap()
    }

    pub(crate) fn approve(&self, pcrs: Vec<PcrValue>) -> PcrPolicyProof {
        self.approve_epoch(pcrs, 1)
    }

    pub(crate) fn approve_epoch(&self, pcrs: Vec<PcrValue>, epoch: u32) -> PcrPolicyProof {
        let (role, policy_epoch, selection) = (NodeRole::Node, PolicyEpoch(epoch), selection());
        let message = approval_message(cluster(), role, policy_epoch, &selection, &pcrs).unwrap();
        let signature = self.signer.sign(&message).unwrap();
        let approval = PcrApproval { role, policy_epoch, selection, pcrs, signature };
        self.policy_key().verify(cluster(), &approval).unwrap()
    }
}
