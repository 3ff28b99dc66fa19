//! Checking another machine as if there were no registry: its join evidence, and the operators' signatures that let it in.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_domain::{
    Admission, ClusterId, EkHash, JoinEvidence, NodeId, NodeRole, OperatorRequest, PcrApproval, PolicyEpoch,
    Reason, SignedAdmission, UnixMs, WrapTarget, admission::MAX_ADMISSION, codec, evidence::MAX_EVIDENCE,
};
use holdfast_keys::{Dmk, P256Public};
use holdfast_proto::registry::v1::{GetEvidenceReply, GetEvidenceRequest, custody_client::CustodyClient};
use holdfast_tpm_verify::{AttestedNode, EkRoots, PolicyKey, VerifyContext, join, wrap::wrap_key};

use crate::machine::GroupKeys;

use super::{
    CustodyError, Keeper,
    operators::{MAX_SIGNED_ADMISSION, OperatorChain},
    rows,
};

/// A machine whose evidence and admission this replica has checked. Made by [`Newcomer::check`] only.
pub struct Newcomer {
    attested: AttestedNode,
}

impl Newcomer {
    /// Fetches and checks a machine's evidence and admission.
    ///
    /// # Errors
    /// [`CustodyError::Newcomer`], [`CustodyError::Admission`] with their reasons.
    pub async fn check(keeper: &Keeper, node: NodeId) -> Result<Self, CustodyError> {
        Ok(Self { attested: check(keeper, node, NodeRole::Node).await? })
    }

    /// The key that its TPM signs with.
    pub fn tls(&self) -> &P256Public {
        self.attested.tls().key()
    }
}

impl Newcomer {
    /// Wraps a group's key to the machine. It is sealed under the newest policy epoch of `approvals`: what this process was started under
    /// may have been revoked since, and with it the boot states that would open the wrap.
    ///
    /// # Errors
    /// See [`CustodyError`].
    pub fn wrap(
        &self,
        keeper: &Keeper,
        dmk: &Dmk,
        approvals: &[PcrApproval],
    ) -> Result<WrapTarget, CustodyError> {
        let Keeper { member, .. } = keeper;
        let policy_key = PolicyKey::new(&member.genesis.pcr_policy_key)?;
        let cluster = member.genesis.cluster;
        let epoch = newest_epoch(&policy_key, cluster, approvals).max(Some(member.proof.policy_epoch()));
        let policy = policy_key.sealing_policy(cluster, NodeRole::Node, epoch.unwrap_or_default());
        let blob = wrap_key(&self.attested.wrap_target(), &policy, dmk.expose_for_wrapping())?;
        let srk_name = self.attested.srk().name().as_bytes().to_vec();
        Ok(WrapTarget::Tpm { node: self.attested.node_id(), srk_name, blob })
    }
}

/// Wraps a group's keys, all generations that this replica has, to a checked machine and stores the wraps at the registry.
///
/// # Errors
/// See [`CustodyError`].
pub async fn wrap_to(
    keeper: &Keeper,
    newcomer: &Newcomer,
    keys: &GroupKeys,
    approvals: &[PcrApproval],
) -> Result<(), CustodyError> {
    let Keeper { member, registries } = keeper;
    let newest = keys.newest();
    for generation in keys.generations().into_iter().rev() {
        let wrap = |dmk: &Dmk| newcomer.wrap(keeper, dmk, approvals).map(|target| (target, dmk.kcv()));
        let Some(wrapped) = keys.with(generation, wrap) else { continue };
        let (target, kcv) = wrapped?;
        let row = rows::row(member, keys.group(), generation, target, kcv);
        match rows::put(member, registries, vec![row]).await {
            // The registry forgets old generations before we do.
            Err(error) if generation < newest => {
                tracing::debug!(%generation, error = %holdfast_domain::causes(&error), "an old key is not wrapped");
            }
            put => put?,
        }
    }
    Ok(())
}

/// The newest epoch in which the operators' policy key approved anything for nodes; nobody else can raise it.
fn newest_epoch(key: &PolicyKey, cluster: ClusterId, approvals: &[PcrApproval]) -> Option<PolicyEpoch> {
    let of_nodes = approvals.iter().filter(|approval| approval.role == NodeRole::Node);
    of_nodes.filter_map(|approval| key.verify(cluster, approval).ok()).map(|proof| proof.policy_epoch()).max()
}

pub(super) async fn check(
    keeper: &Keeper,
    node: NodeId,
    role: NodeRole,
) -> Result<AttestedNode, CustodyError> {
    let genesis = &keeper.member.genesis;
    let reply = keeper
        .registries
        .call(|channel| {
            let request = GetEvidenceRequest { node_id: Bytes::copy_from_slice(node.as_bytes()) };
            async move { CustodyClient::new(channel).get_evidence(request).await }
        })
        .await?;
    let GetEvidenceReply { evidence, admission, operator_chain } = reply.into_inner();
    let evidence: JoinEvidence = codec::decode(&evidence, MAX_EVIDENCE)?;
    let admission: SignedAdmission = codec::decode(&admission, MAX_SIGNED_ADMISSION)?;

    let refused = |denial| CustodyError::Newcomer { node, denial };
    let chain = OperatorChain::verify(genesis, &operator_chain).map_err(refused)?;
    chain.remember(&keeper.member.folder)?.map_err(refused)?;
    let roots = EkRoots::new(&genesis.ek_roots)?;
    at_admission_or_now(&admission, now(), |at| {
        let context = VerifyContext::of_genesis(genesis, &roots, at);
        let attested = join::verify(&context, &evidence).map_err(refused)?;
        let mismatch = |reason| CustodyError::Admission { node, reason };
        if attested.node_id() != node || attested.role() != role {
            return Err(mismatch(Reason::EvidenceMismatch));
        }
        let verified = chain.admission(&admission, attested.ek_hash()).map_err(refused)?;
        if admits(verified.request(), &attested) {
            Ok(attested)
        } else {
            Err(mismatch(Reason::EkNotAdmitted))
        }
    })
}

/// Checks evidence at the time at which the operators admitted the machine, and otherwise at today's. EK certificates end, and a vendor's
/// intermediates before them, but a machine that was genuine when it was let in is the same machine for ever: at today's date alone it
/// could one day neither receive a group nor hand one over. Nobody but the operators writes that time: `check` must verify their
/// signatures. Today's date serves certificates that were made after a ticket.
fn at_admission_or_now<T>(
    admission: &SignedAdmission,
    now: UnixMs,
    check: impl Fn(UnixMs) -> Result<T, CustodyError>,
) -> Result<T, CustodyError> {
    let Admission { issued, .. } = codec::decode(&admission.bytes, MAX_ADMISSION)?;
    check(issued.min(now)).or_else(|_| check(now))
}

/// Whether the operators' request names this very machine, or the ticket that it signed its transcript with.
fn admits(request: &OperatorRequest, attested: &AttestedNode) -> bool {
    let same = |ek: &EkHash, role: &NodeRole| *ek == attested.ek_hash() && *role == attested.role();
    match request {
        OperatorRequest::AllowEk { ek, role } | OperatorRequest::Approve { ek, role, .. } => same(ek, role),
        // A ticket admits a genuine TPM only: without a chain to a configured root anybody could be behind it.
        OperatorRequest::IssueTicket { ticket, role, .. } => {
            attested.ticket() == Some(*ticket) && *role == attested.role() && attested.anchor().is_some()
        }
        _ => false,
    }
}

fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{PcrSelection, PcrValue};
    use holdfast_keys::{Signer as _, SoftSigner};
    use holdfast_tpm_verify::approval::approval_message;

    use super::*;

    const CLUSTER: ClusterId = ClusterId::new([1; 16]);

    fn approval(signer: &SoftSigner, role: NodeRole, epoch: u32) -> PcrApproval {
        let selection = PcrSelection::try_from(vec![7]).unwrap();
        let pcrs = vec![PcrValue { index: 7, digest: [1; 32] }];
        let policy_epoch = PolicyEpoch(epoch);
        let message = approval_message(CLUSTER, role, policy_epoch, &selection, &pcrs).unwrap();
        PcrApproval { role, policy_epoch, selection, pcrs, signature: signer.sign(&message).unwrap() }
    }

    #[test]
    fn certificates_are_judged_at_the_time_of_the_admission_or_today() {
        let request = OperatorRequest::AllowEk { ek: EkHash::new([1; 32]), role: NodeRole::Node };
        let serial = holdfast_domain::RequestSerial::new([1; 16]);
        let (issued, expires) = (UnixMs(100), UnixMs(200));
        let admission = Admission { cluster: CLUSTER, set: 0, serial, issued, expires, request };
        let signed = SignedAdmission { bytes: codec::encode(&admission).unwrap(), signatures: vec![] };
        let valid = |from: u64, to: u64, now: u64| {
            at_admission_or_now(&signed, UnixMs(now), |at| {
                if (from..to).contains(&at.0) { Ok(()) } else { Err(CustodyError::Answer("not valid")) }
            })
            .is_ok()
        };
        assert!(valid(50, 500, 1_000), "it has ended since");
        assert!(valid(150, 2_000, 1_000), "it was made after the ticket");
        assert!(!valid(150, 500, 1_000), "it was never valid when it mattered");
        assert!(!valid(90, 500, 50), "an admission of the future is none of today");
    }

    #[test]
    fn keys_go_to_newcomers_under_the_newest_epoch_that_the_policy_key_signed_for_nodes() {
        let (signer, stranger) = (SoftSigner::generate().unwrap(), SoftSigner::generate().unwrap());
        let key = PolicyKey::new(&signer.public().to_point()).unwrap();
        let approvals = [
            approval(&signer, NodeRole::Node, 1),
            approval(&signer, NodeRole::Node, 2),
            approval(&signer, NodeRole::Registry, 3),
            approval(&stranger, NodeRole::Node, 9),
        ];
        assert_eq!(newest_epoch(&key, CLUSTER, &approvals), Some(PolicyEpoch(2)));
        assert_eq!(newest_epoch(&key, CLUSTER, &[]), None);
    }
}
