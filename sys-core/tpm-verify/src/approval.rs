//! Approved boot states: the operators' policy key, its signed approvals, and the proof a TPM needs to unseal under one.

use holdfast_domain::{
    ClusterId, NodeRole, P256Point, PcrApproval, PcrSelection, PcrValue, PolicyEpoch, Signature64,
};
use holdfast_keys::P256Public;

use crate::alg::{ALG_ECC, ALG_NULL, ALG_SHA256, ECC_P256, sha256};
use crate::name::Name;
use crate::policy::{PolicyDigest, PolicyRef, authorize_policy, pcr_policy, policy_ref};
use crate::public::Public;
use crate::wire::{Malformed, put_sized};

/// userWithAuth, sign: an external public key that only verifies.
const POLICY_KEY_ATTRIBUTES: u32 = 0x0004_0040;

/// The public half of the operators' PCR policy key, as a TPM loads it (`TPM2_LoadExternal`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyKey {
    public: Public,
    key: P256Public,
    name: Name,
}

/// Why an approval is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApprovalError {
    /// The values are not the selection's.
    #[error("the approved PCR values do not match their selection")]
    Values(#[source] Malformed),
    /// Not signed by the policy key for this cluster, role and epoch.
    #[error("the approval is not signed by the policy key")]
    Signature,
}

/// A checked approval: all that `TPM2_PolicyAuthorize` asks for. Holding one proves that the policy key signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrPolicyProof {
    key: PolicyKey,
    role: NodeRole,
    policy_epoch: PolicyEpoch,
    selection: PcrSelection,
    approved: PolicyDigest,
    reference: PolicyRef,
    signature: Signature64,
}

impl PolicyKey {
    /// Takes the key from the genesis record.
    ///
    /// # Errors
    /// The point is not on the curve.
    pub fn new(point: &P256Point) -> Result<Self, Malformed> {
        let mut bytes = Vec::with_capacity(90);
        bytes.extend_from_slice(&ALG_ECC.to_be_bytes());
        bytes.extend_from_slice(&ALG_SHA256.to_be_bytes());
        bytes.extend_from_slice(&POLICY_KEY_ATTRIBUTES.to_be_bytes());
        put_sized(&mut bytes, &[], "authPolicy")?;
        // No cipher, no fixed scheme, the curve, no KDF.
        for id in [ALG_NULL, ALG_NULL, ECC_P256, ALG_NULL] {
            bytes.extend_from_slice(&id.to_be_bytes());
        }
        put_sized(&mut bytes, &point.x, "ECC x")?;
        put_sized(&mut bytes, &point.y, "ECC y")?;
        let public = Public::parse(&bytes)?;
        let key = P256Public::from_point(point).map_err(|_| Malformed::Invalid("ECC point"))?;
        Ok(Self { key, name: public.name(), public })
    }

    /// The public area to load.
    #[must_use]
    pub fn public(&self) -> &Public {
        &self.public
    }

    /// The Name that policies are bound to.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The policy under which keys are sealed for a role at a policy epoch.
    #[must_use]
    pub fn sealing_policy(&self, cluster: ClusterId, role: NodeRole, epoch: PolicyEpoch) -> PolicyDigest {
        authorize_policy(&self.name, &policy_ref(cluster, role, epoch))
    }

    /// Checks an approval's signature.
    ///
    /// # Errors
    /// See [`ApprovalError`].
    pub fn verify(
        &self,
        cluster: ClusterId,
        approval: &PcrApproval,
    ) -> Result<PcrPolicyProof, ApprovalError> {
        let PcrApproval { role, policy_epoch, selection, pcrs, signature } = approval;
        let approved = pcr_policy(selection, pcrs).map_err(ApprovalError::Values)?;
        let reference = policy_ref(cluster, *role, *policy_epoch);
        self.key
            .verify_raw(&signed_message(&approved, &reference), signature)
            .map_err(|_| ApprovalError::Signature)?;
        Ok(PcrPolicyProof {
            key: self.clone(),
            role: *role,
            policy_epoch: *policy_epoch,
            selection: selection.clone(),
            approved,
            reference,
            signature: *signature,
        })
    }
}

impl PcrPolicyProof {
    /// The role that was approved.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        self.role
    }

    /// The policy epoch it holds for.
    #[must_use]
    pub fn policy_epoch(&self) -> PolicyEpoch {
        self.policy_epoch
    }

    /// The PCRs for `TPM2_PolicyPCR`.
    #[must_use]
    pub fn selection(&self) -> &PcrSelection {
        &self.selection
    }

    /// `approvedPolicy`: what the session's digest must be after `TPM2_PolicyPCR`.
    #[must_use]
    pub fn approved_policy(&self) -> &PolicyDigest {
        &self.approved
    }

    /// `policyRef`.
    #[must_use]
    pub fn policy_ref(&self) -> &PolicyRef {
        &self.reference
    }

    /// The policy key, to be loaded for `TPM2_VerifySignature`.
    #[must_use]
    pub fn key(&self) -> &PolicyKey {
        &self.key
    }

    /// `aHash`: the digest for `TPM2_VerifySignature`.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.approved.as_bytes(), self.reference.as_bytes()])
    }

    /// The signature over [`Self::digest`]; [`crate::signature::to_tpm`] gives the TPM's form.
    #[must_use]
    pub fn signature(&self) -> &Signature64 {
        &self.signature
    }

    /// The policy of the objects that this proof opens.
    #[must_use]
    pub fn sealing_policy(&self) -> PolicyDigest {
        authorize_policy(&self.key.name, &self.reference)
    }
}

/// The message that the policy key signs (ECDSA with SHA-256) for an approval: `approvedPolicy ‖ policyRef`.
///
/// # Errors
/// The values are not the selection's.
pub fn approval_message(
    cluster: ClusterId,
    role: NodeRole,
    policy_epoch: PolicyEpoch,
    selection: &PcrSelection,
    pcrs: &[PcrValue],
) -> Result<Vec<u8>, Malformed> {
    let approved = pcr_policy(selection, pcrs)?;
    Ok(signed_message(&approved, &policy_ref(cluster, role, policy_epoch)))
}

fn signed_message(approved: &PolicyDigest, reference: &PolicyRef) -> Vec<u8> {
    [*approved.as_bytes(), *reference.as_bytes()].concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use holdfast_keys::{Secret32, Signer, SoftSigner};

    use super::*;

    fn signer() -> SoftSigner {
        SoftSigner::generate().unwrap()
    }

    fn signed(
        signer: &SoftSigner,
        cluster: ClusterId,
        role: NodeRole,
        policy_epoch: PolicyEpoch,
        selection: &PcrSelection,
        pcrs: &[PcrValue],
    ) -> PcrApproval {
        let message = approval_message(cluster, role, policy_epoch, selection, pcrs).unwrap();
        let signature = signer.sign(&message).unwrap();
        PcrApproval { role, policy_epoch, selection: selection.clone(), pcrs: pcrs.to_vec(), signature }
    }

    /// An approval by a fresh policy key, checked.
    pub(crate) fn approve(
        cluster: ClusterId,
        role: NodeRole,
        epoch: PolicyEpoch,
        selection: &PcrSelection,
        pcrs: &[PcrValue],
    ) -> PcrPolicyProof {
        let signer = signer();
        let key = PolicyKey::new(&signer.public().to_point()).unwrap();
        key.verify(cluster, &signed(&signer, cluster, role, epoch, selection, pcrs)).unwrap()
    }

    fn sample(signer: &SoftSigner) -> (ClusterId, PcrApproval) {
        let cluster = ClusterId::new([1; 16]);
        let selection = PcrSelection::try_from(vec![7]).unwrap();
        let pcrs = [PcrValue { index: 7, digest: [1; 32] }];
        (cluster, signed(signer, cluster, NodeRole::Node, PolicyEpoch(3), &selection, &pcrs))
    }

    #[test]
    fn a_proof_opens_what_was_sealed_for_its_role_and_epoch() {
        let signer = signer();
        let key = PolicyKey::new(&signer.public().to_point()).unwrap();
        let (cluster, approval) = sample(&signer);
        let proof = key.verify(cluster, &approval).unwrap();
        assert_eq!(proof.sealing_policy(), key.sealing_policy(cluster, NodeRole::Node, PolicyEpoch(3)));
        assert_ne!(proof.sealing_policy(), key.sealing_policy(cluster, NodeRole::Node, PolicyEpoch(4)));
        assert_ne!(proof.sealing_policy(), key.sealing_policy(cluster, NodeRole::Registry, PolicyEpoch(3)));
    }

    #[test]
    fn an_approval_for_anything_else_is_refused() {
        let signer = signer();
        let key = PolicyKey::new(&signer.public().to_point()).unwrap();
        let (cluster, good) = sample(&signer);
        let mut pcrs = good.clone();
        pcrs.pcrs[0].digest[0] ^= 1;
        let wrong = [
            PcrApproval { role: NodeRole::Registry, ..good.clone() },
            PcrApproval { policy_epoch: PolicyEpoch(4), ..good.clone() },
            PcrApproval { signature: Signature64([0; 64]), ..good.clone() },
            pcrs,
        ];
        for approval in wrong {
            assert_eq!(key.verify(cluster, &approval), Err(ApprovalError::Signature));
        }
        assert_eq!(key.verify(ClusterId::new([2; 16]), &good), Err(ApprovalError::Signature));
        let other = PolicyKey::new(&SoftSigner::generate().unwrap().public().to_point()).unwrap();
        assert_eq!(other.verify(cluster, &good), Err(ApprovalError::Signature));
        let empty = PcrApproval { pcrs: Vec::new(), ..good };
        assert!(matches!(key.verify(cluster, &empty), Err(ApprovalError::Values(_))));
    }

    #[test]
    fn a_wrapped_key_opens_on_its_own_machine_only() {
        use crate::{soft::SoftTpm, wrap};
        let (tpm, other) = (SoftTpm::new().unwrap(), SoftTpm::new().unwrap());
        let key = PolicyKey::new(&signer().public().to_point()).unwrap();
        let policy = key.sealing_policy(ClusterId::new([1; 16]), NodeRole::Node, PolicyEpoch(1));
        let target = wrap::TpmTarget { ek: tpm.ek(), ak_name: tpm.ak().name(), srk: &tpm.srk };
        let mut blob = wrap::wrap_key(&target, &policy, &[7; 32]).unwrap();
        assert!(tpm.unwrap(&blob).unwrap().equals(&Secret32::from_bytes([7; 32])));
        assert!(other.unwrap(&blob).is_err());
        let secret = tpm.activate(&blob.credential).unwrap();
        let foreign = wrap::TpmTarget { srk: &other.srk, ..target };
        assert!(matches!(wrap::open(&foreign, &secret, &blob), Err(wrap::WrapError::Aead(_))));
        let opened = wrap::open(&target, &secret, &blob).unwrap();
        assert_eq!(Public::parse(&opened.obj_public).unwrap().auth_policy(), policy.as_bytes());
        blob.sealed[30] ^= 1;
        assert!(tpm.unwrap(&blob).is_err());
    }
}
