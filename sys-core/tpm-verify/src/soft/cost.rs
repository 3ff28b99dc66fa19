//! One join's work for a verifier, step by step, for benchmarks: each method does its step once. The EK is a virtual TPM's RSA-2048
//! key with a real certificate chain, so the chain is paid for too; only that EK's own half cannot be played here.

use holdfast_domain::{
    ChallengeId, ClusterId, JoinEvidence, NodeRole, PcrSelection, PcrValue, PolicyEpoch, TpmPolicy, UnixMs,
    WrappedBlob,
};
use holdfast_keys::{Secret32, Signer, SoftSigner};

use super::{SoftError, SoftJoin, SoftTpm, soft};
use crate::approval::PolicyKey;
use crate::attest::ClockInfo;
use crate::ek_certificate::EkRoots;
use crate::join::{self, AttestedNode, Challenge, UnmeasuredPcrs, VerifyContext};
use crate::policy::PolicyDigest;
use crate::public::Public;
use crate::roles::EkPublic;
use crate::wrap;

const EK: &[u8] = include_bytes!("../../fixtures/swtpm-ek-rsa.public");
const CERTIFICATE: &[u8] = include_bytes!("../../fixtures/swtpm-ek-rsa.der");
const INTERMEDIATE: &[u8] = include_bytes!("../../fixtures/swtpm-intermediate.der");
const ROOT: &[u8] = include_bytes!("../../fixtures/swtpm-root.der");
/// Inside the validity of all three certificates: 2027-01-15.
const NOW: UnixMs = UnixMs(1_800_000_000_000);

/// A machine that joins again and again.
pub struct CostSample {
    evidence: JoinEvidence,
    roots: EkRoots,
    policy: PolicyDigest,
}

impl CostSample {
    /// Prepares evidence that passes the whole checklist of a cluster with configured EK roots.
    ///
    /// # Errors
    /// No randomness.
    pub fn new() -> Result<Self, SoftError> {
        let tpm = SoftTpm { ek: EkPublic::new(Public::parse(EK)?).map_err(soft)?, ..SoftTpm::new()? };
        let join = join()?;
        let evidence = JoinEvidence {
            ek_certificate: Some(CERTIFICATE.to_vec()),
            ek_chain: vec![INTERMEDIATE.to_vec()],
            ..tpm.evidence(&join)?
        };
        let policy_key = SoftSigner::generate().map_err(soft)?.public();
        let policy = PolicyKey::new(&policy_key.to_point())?;
        let policy = policy.sealing_policy(join.cluster, join.role, PolicyEpoch(1));
        Ok(Self { evidence, roots: EkRoots::new(&[ROOT]).map_err(soft)?, policy })
    }

    /// The voter's challenge: two public areas parsed, one credential made.
    ///
    /// # Errors
    /// No randomness.
    pub fn challenge(&self) -> Result<Challenge, SoftError> {
        join::make_challenge(&self.evidence.ek_public, &self.evidence.ak_public).map_err(soft)
    }

    /// The answer's check, against the answer made on the spot: two transcripts and two HMACs.
    ///
    /// # Errors
    /// Never for this evidence.
    pub fn answer(&self, secret: Secret32) -> Result<(), SoftError> {
        let transcript = join::transcript_of(&self.evidence).map_err(soft)?;
        let proof = join::challenge_proof(&secret, &transcript);
        join::verify_challenge(secret, &self.evidence, &proof).map_err(soft)
    }

    /// The whole checklist, EK chain included.
    ///
    /// # Errors
    /// Never for this evidence.
    pub fn verify(&self) -> Result<AttestedNode, SoftError> {
        let context = VerifyContext {
            cluster: self.evidence.cluster,
            tpm_policy: TpmPolicy::HardwareOnly,
            ek_roots: &self.roots,
            selection: &self.evidence.selection,
            unmeasured: UnmeasuredPcrs::Refuse,
            last_clock: None,
            now: NOW,
        };
        join::verify(&context, &self.evidence).map_err(soft)
    }

    /// One key wrapped to the newcomer.
    ///
    /// # Errors
    /// No randomness.
    pub fn wrap(&self, node: &AttestedNode, key: &[u8; 32]) -> Result<WrappedBlob, SoftError> {
        wrap::wrap_key(&node.wrap_target(), &self.policy, key).map_err(soft)
    }

    /// The evidence, for whoever measures its size or its coding.
    #[must_use]
    pub fn evidence(&self) -> &JoinEvidence {
        &self.evidence
    }
}

fn join() -> Result<SoftJoin, SoftError> {
    Ok(SoftJoin {
        cluster: ClusterId::new([1; 16]),
        challenge: ChallengeId::new([2; 16]),
        nonce: [3; 32],
        exporter: [4; 32],
        role: NodeRole::Node,
        selection: PcrSelection::try_from(vec![0, 7]).map_err(soft)?,
        pcrs: [0, 7].map(|index| PcrValue { index, digest: [1; 32] }).to_vec(),
        clock: ClockInfo { clock_ms: 1000, reset_count: 1, restart_count: 0, safe: true },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_the_sample_passes() {
        let sample = CostSample::new().unwrap();
        let challenge = sample.challenge().unwrap();
        sample.answer(challenge.secret).unwrap();
        let node = sample.verify().unwrap();
        sample.wrap(&node, &[7; 32]).unwrap();
    }
}
