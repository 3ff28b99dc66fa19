//! The proof that a machine passed the checklist.

use holdfast_domain::{
    EkHash, NodeId, NodeRole, PcrSelection, PcrValue, PolicyEpoch, Reason, RootHash, TicketPublic, TpmClass,
};
use holdfast_keys::P256Public;

use crate::approval::PcrPolicyProof;
use crate::attest::ClockInfo;
use crate::denial::Denial;
use crate::policy::pcr_policy;
use crate::roles::{AkPublic, EkPublic, SrkPublic, TlsPublic};
use crate::transcript::Transcript;
use crate::wrap::TpmTarget;

/// A machine whose evidence passed [`super::verify`], the only place that makes one.
///
/// What it does not prove: that AK and EK share a TPM (the challenge's HMAC does, or a credential-bound wrap), and that the
/// cluster's replicated state admits the machine.
///
/// ```compile_fail,E0451
/// fn forge(node: holdfast_tpm_verify::join::AttestedNode) -> holdfast_tpm_verify::join::AttestedNode {
///     holdfast_tpm_verify::join::AttestedNode { role: holdfast_domain::NodeRole::Registry, ..node }
/// }
/// ```
/// ```compile_fail,E0277
/// fn clonable<T: Clone>() {}
/// clonable::<holdfast_tpm_verify::join::AttestedNode>();
/// ```
#[derive(Debug)]
pub struct AttestedNode {
    pub(super) node_id: NodeId,
    pub(super) role: NodeRole,
    pub(super) class: TpmClass,
    pub(super) anchor: Option<RootHash>,
    pub(super) ek: EkPublic,
    pub(super) ak: AkPublic,
    pub(super) srk: SrkPublic,
    pub(super) tls: TlsPublic,
    pub(super) listener: P256Public,
    pub(super) selection: PcrSelection,
    pub(super) pcrs: Vec<PcrValue>,
    pub(super) pcr_digest: [u8; 32],
    pub(super) clock: ClockInfo,
    pub(super) firmware_version: u64,
    pub(super) ticket: Option<TicketPublic>,
    pub(super) transcript: Transcript,
}

impl AttestedNode {
    /// The id that this TPM has in the cluster.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The role it asked for.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        self.role
    }

    /// What stands behind its word.
    #[must_use]
    pub fn class(&self) -> TpmClass {
        self.class
    }

    /// The configured root that its EK certificate chains to. Without one, only an allow-list entry admits it.
    #[must_use]
    pub fn anchor(&self) -> Option<RootHash> {
        self.anchor
    }

    /// How operators name its TPM.
    #[must_use]
    pub fn ek_hash(&self) -> EkHash {
        self.ek.hash()
    }

    /// Its endorsement key.
    #[must_use]
    pub fn ek(&self) -> &EkPublic {
        &self.ek
    }

    /// Its attestation key.
    #[must_use]
    pub fn ak(&self) -> &AkPublic {
        &self.ak
    }

    /// Its storage root key.
    #[must_use]
    pub fn srk(&self) -> &SrkPublic {
        &self.srk
    }

    /// Its TLS key, certified to live in the TPM.
    #[must_use]
    pub fn tls(&self) -> &TlsPublic {
        &self.tls
    }

    /// Its in-memory listener key.
    #[must_use]
    pub fn listener(&self) -> &P256Public {
        &self.listener
    }

    /// The quoted PCR values, in the requested selection's order.
    #[must_use]
    pub fn pcrs(&self) -> &[PcrValue] {
        &self.pcrs
    }

    /// SHA-256 over the quoted values, for audit records.
    #[must_use]
    pub fn pcr_digest(&self) -> &[u8; 32] {
        &self.pcr_digest
    }

    /// The clock to demand progress from at the next join.
    #[must_use]
    pub fn clock(&self) -> ClockInfo {
        self.clock
    }

    /// The TPM's firmware version.
    #[must_use]
    pub fn firmware_version(&self) -> u64 {
        self.firmware_version
    }

    /// The ticket that signed this join, not yet known to be unused.
    #[must_use]
    pub fn ticket(&self) -> Option<TicketPublic> {
        self.ticket
    }

    /// What all of it was bound to.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Where to wrap keys for it.
    #[must_use]
    pub fn wrap_target(&self) -> TpmTarget<'_> {
        TpmTarget { ek: &self.ek, ak_name: self.ak.name(), srk: &self.srk }
    }

    /// Checks that the operators approved this boot state for this role at this policy epoch.
    ///
    /// # Errors
    /// [`Reason::PcrNotApproved`].
    pub fn require_approved<'a>(
        &self,
        epoch: PolicyEpoch,
        approvals: impl IntoIterator<Item = &'a PcrPolicyProof>,
    ) -> Result<(), Denial> {
        let booted =
            pcr_policy(&self.selection, &self.pcrs).map_err(|fault| Denial::new(Reason::PcrDigest, fault))?;
        let approves = |proof: &PcrPolicyProof| {
            proof.role() == self.role && proof.policy_epoch() == epoch && *proof.approved_policy() == booted
        };
        if approvals.into_iter().any(approves) {
            Ok(())
        } else {
            Err(Denial::new(
                Reason::PcrNotApproved,
                "no approval for these PCR values, role and policy epoch",
            ))
        }
    }
}
