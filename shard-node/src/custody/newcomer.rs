//! Checking another machine as if there were no registry: its join evidence, and the operators' signatures that let it in.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use holdfast_domain::{
    EkHash, Genesis, GroupId, JoinEvidence, NodeId, NodeRole, OperatorKey, OperatorRequest, Reason,
    SignedAdmission, UnixMs, WrapTarget, codec, evidence::MAX_EVIDENCE,
};
use holdfast_keys::Dmk;
use holdfast_proto::registry::v1::{GetEvidenceReply, GetEvidenceRequest, custody_client::CustodyClient};
use holdfast_tpm_verify::{
    AttestedNode, Denial, EkRoots, PolicyKey, VerifyContext,
    admission::{self, OperatorSet, VerifiedAdmission},
    join,
    wrap::wrap_key,
};

use super::{CustodyError, FIRST, Keeper, rows};

/// Largest signed admission: its bytes and a few signatures.
const MAX_SIGNED_ADMISSION: usize = holdfast_domain::admission::MAX_ADMISSION + 8192;

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
}

/// Wraps a group's key to a checked machine and stores the wrap at the registry.
///
/// # Errors
/// See [`CustodyError`].
pub async fn wrap_to(
    keeper: &Keeper,
    newcomer: &Newcomer,
    group: GroupId,
    dmk: &Dmk,
) -> Result<(), CustodyError> {
    let Keeper { member, registries } = keeper;
    let attested = &newcomer.attested;
    let policy_key = PolicyKey::new(&member.genesis.pcr_policy_key)?;
    let policy =
        policy_key.sealing_policy(member.genesis.cluster, NodeRole::Node, member.proof.policy_epoch());
    let blob = wrap_key(&attested.wrap_target(), &policy, dmk.expose_for_wrapping())?;
    let srk_name = attested.srk().name().as_bytes().to_vec();
    let target = WrapTarget::Tpm { node: attested.node_id(), srk_name, blob };
    rows::put(member, registries, vec![rows::row(member, group, FIRST, target, dmk.kcv())]).await
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
    let roots = EkRoots::new(&genesis.ek_roots)?;
    let attested =
        join::verify(&VerifyContext::of_genesis(genesis, &roots, now()), &evidence).map_err(refused)?;
    let mismatch = |reason| CustodyError::Admission { node, reason };
    if attested.node_id() != node || attested.role() != role {
        return Err(mismatch(Reason::EvidenceMismatch));
    }
    let verified = signed_by_operators(genesis, &operator_chain, &admission).map_err(refused)?;
    if admits(verified.request(), &attested) { Ok(attested) } else { Err(mismatch(Reason::EkNotAdmitted)) }
}

/// Checks an admission against the operator set of its time: genesis, then every signed change since.
fn signed_by_operators(
    genesis: &Genesis,
    chain: &[Bytes],
    admission: &SignedAdmission,
) -> Result<VerifiedAdmission, Denial> {
    let set = |operators: &[OperatorKey], threshold| {
        OperatorSet::new(operators, threshold)
            .map_err(|error| Denial { reason: Reason::AdmissionUnsigned, detail: error.to_string() })
    };
    let mut operators = set(&genesis.operators, genesis.operator_threshold)?;
    let mut verdict = admission::verify(genesis.cluster, &operators, admission);
    for link in chain {
        if verdict.is_ok() {
            break;
        }
        let change: SignedAdmission = codec::decode(link, MAX_SIGNED_ADMISSION)
            .map_err(|error| Denial { reason: Reason::Malformed, detail: error.to_string() })?;
        let change = admission::verify(genesis.cluster, &operators, &change)?;
        let OperatorRequest::SetOperators { operators: next, threshold } = change.request() else {
            return Err(Denial {
                reason: Reason::Malformed,
                detail: "a link that is no change of operators".into(),
            });
        };
        operators = set(next, *threshold)?;
        verdict = admission::verify(genesis.cluster, &operators, admission);
    }
    verdict
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
