//! Whether a proven machine becomes a member: a first look at the state here, the decision in the commit.

use holdfast_domain::{NodeId, NodeRole, PcrApproval, PendingId, Reason, UnixMs};
use holdfast_keys::random_array;
use holdfast_proto::registry::v1::{Pending, join_reply};
use holdfast_registry_state::{Act, Applied, Joining, Member, Renewal, State, TpmClock, plan};
use holdfast_tpm_verify::join::AttestedNode;

use super::{
    Kind, Shared, Visit,
    rejections::{Claim, Rejected},
    session::Proven,
};
use crate::{authority::machine_subject, core::Core, services::limits::PENDING_RETRY_MS};

/// What to propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Something admits the machine.
    Join,
    /// Nothing does yet, and it wants to wait.
    Queue,
    /// It waits already.
    Waits(PendingId),
}

impl Shared {
    /// The last reply of a machine that proved itself.
    pub(super) async fn settle(&self, visit: Visit, proven: Proven) -> Result<join_reply::Message, Rejected> {
        let node = proven.attested.node_id();
        if proven.init.node.is_some_and(|claimed| claimed != node) {
            return Err(Rejected::of(Reason::NodeIdMismatch, "the claimed node id is not this EK's"));
        }
        // What follows must not be decided on yesterday's bans and tickets.
        self.core.read_index().await?;
        // Nothing is used up for somebody to whom nothing can be issued.
        self.core.issuer()?;
        let accepted = match visit.kind {
            Kind::Join => self.join(&proven).await?,
            Kind::Renew(role, caller) => self.renew(&proven, role, caller).await?,
        };
        if matches!(accepted, join_reply::Message::Grant(_)) {
            record(&proven.claim, node, visit);
        }
        Ok(accepted)
    }

    async fn join(&self, proven: &Proven) -> Result<join_reply::Message, Rejected> {
        let way = decide(&self.core.state(), &proven.attested, proven.init.queue, self.core.now())?;
        if let Way::Waits(id) = way {
            return Ok(pending(id));
        }
        require_approved(&self.core, &proven.attested)?;
        let (evidence, address) = (proven.evidence.clone(), proven.init.address.clone());
        let joining = Box::new(joining(&proven.attested, evidence, address));
        if way == Way::Queue {
            return self.queue(joining).await;
        }
        match self.core.propose(self.core.myself(), Act::Join(joining)).await? {
            Applied::Joined { node, replica } => {
                self.readdress(node).await;
                self.grant(&proven.attested, replica, true).await
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn queue(&self, joining: Box<Joining>) -> Result<join_reply::Message, Rejected> {
        let id = random_array().map_err(|error| Rejected::of(Reason::Internal, error))?;
        let act = Act::JoinPending { pending: PendingId::new(id), joining };
        let applied =
            self.core.propose(self.core.myself(), act).await.map_err(|refusal| match refusal.reason() {
                Reason::Overloaded => Rejected::of(Reason::EkNotAdmitted, "the approval queue is full"),
                _ => refusal.into(),
            })?;
        match applied {
            Applied::Pending(id) => Ok(pending(id)),
            other => Err(unexpected(&other)),
        }
    }

    async fn renew(
        &self,
        proven: &Proven,
        role: NodeRole,
        caller: NodeId,
    ) -> Result<join_reply::Message, Rejected> {
        let attested = &proven.attested;
        if attested.node_id() != caller {
            return Err(Rejected::of(Reason::NodeIdMismatch, "the EK is not the caller's"));
        }
        if attested.role() != role {
            return Err(Rejected::of(Reason::RoleMismatch, "the caller has another role"));
        }
        let replica = {
            let state = self.core.state();
            let member = state.member(caller).ok_or_else(|| Rejected::of(Reason::NotFound, "no member"))?;
            if !has_keys(member, attested) {
                return Err(Rejected::of(Reason::EvidenceMismatch, "other keys than those that joined"));
            }
            member.replica
        };
        require_approved(&self.core, attested)?;
        let renewal = Renewal {
            node: caller,
            address: proven.init.address.clone(),
            listener: attested.listener().spki_hash(),
            clock: clock(attested),
            pcrs: attested.pcrs().to_vec(),
        };
        self.core.propose(machine_subject(role, caller), Act::Renew(renewal)).await?;
        self.readdress(caller).await;
        self.grant(attested, replica, false).await
    }

    /// Corrects the map when a machine has another address than before. Its membership does not depend on it.
    async fn readdress(&self, node: NodeId) {
        let planned = plan::plan_readdress(&self.core.state(), node);
        if !matches!(planned, Ok(Some(_))) {
            return;
        }
        let plan = |state: &State| plan::plan_readdress(state, node);
        if let Err(refusal) = self.core.change_map(&self.core.myself(), plan).await {
            tracing::warn!(%node, %refusal, "the map still has a machine's old address; its next renewal tries again");
        }
    }
}

/// Check 4 and 5 against the state as it is here. The commit checks again.
fn decide(state: &State, attested: &AttestedNode, queue: bool, now: UnixMs) -> Result<Way, Rejected> {
    let (node, ek, role) = (attested.node_id(), attested.ek_hash(), attested.role());
    let deny = |reason, detail: &str| Err(Rejected::of(reason, detail));
    if state.is_banned(&machine_subject(role, node)) {
        return deny(Reason::EkBanned, "banned");
    }
    if state.member(node).is_some() {
        return Ok(Way::Join);
    }
    if let Some(ticket) = attested.ticket() {
        let now = now.max(state.clock());
        return match state.ticket(ticket) {
            None => deny(Reason::TicketUnknown, "no such ticket"),
            Some(row) if row.used_by.is_some() => deny(Reason::TicketUsed, "used by another machine"),
            Some(row) if row.expires <= now => deny(Reason::TicketUnknown, "expired"),
            Some(row) if row.role != role => deny(Reason::RoleMismatch, "the ticket is for another role"),
            Some(_) if attested.anchor().is_none() => {
                deny(Reason::EkCertificate, "a ticket needs an EK of a known maker")
            }
            Some(_) => Ok(Way::Join),
        };
    }
    if let Some(allowed) = state.allowed(ek) {
        let fits = allowed.role == role;
        return if fits { Ok(Way::Join) } else { deny(Reason::RoleMismatch, "allowed in another role") };
    }
    if let Some((id, _)) = state.pending().find(|(_, pending)| pending.joining.ek == ek) {
        return Ok(Way::Waits(id));
    }
    if !queue {
        return deny(Reason::EkNotAdmitted, "nobody admitted this EK");
    }
    if attested.anchor().is_none() {
        return deny(Reason::EkNotAdmitted, "the approval queue takes EKs of known makers only");
    }
    Ok(Way::Queue)
}

/// The boot state is one that operators approved for this role, by their signature.
fn require_approved(core: &Core, attested: &AttestedNode) -> Result<(), Rejected> {
    let (epoch, approvals) = {
        let state = core.state();
        let fitting = state.approvals(attested.role()).filter(|approval| approval.pcrs == attested.pcrs());
        (state.policy_epoch(), fitting.cloned().collect::<Vec<PcrApproval>>())
    };
    let cluster = core.cluster();
    let proofs: Vec<_> = approvals
        .iter()
        .filter_map(|approval| cluster.policy_key().verify(cluster.id(), approval).ok())
        .collect();
    Ok(attested.require_approved(epoch, &proofs)?)
}

fn has_keys(member: &Member, attested: &AttestedNode) -> bool {
    member.ek == attested.ek_hash()
        && member.ak_name == attested.ak().name().as_bytes()
        && member.srk_name == attested.srk().name().as_bytes()
        && member.tls_key == attested.tls().key().to_point()
}

/// What the state is told of a machine whose evidence, encoded, verified.
pub(crate) fn joining(attested: &AttestedNode, evidence: Vec<u8>, address: String) -> Joining {
    Joining {
        node: attested.node_id(),
        role: attested.role(),
        address,
        ek: attested.ek_hash(),
        ek_spki: attested.ek().spki_der().clone(),
        anchor: attested.anchor(),
        ak_name: attested.ak().name().as_bytes().to_vec(),
        srk_name: attested.srk().name().as_bytes().to_vec(),
        tls_key: attested.tls().key().to_point(),
        listener: attested.listener().spki_hash(),
        class: attested.class(),
        clock: clock(attested),
        evidence,
    }
}

fn clock(attested: &AttestedNode) -> TpmClock {
    let clock = attested.clock();
    TpmClock {
        reset: clock.reset_count,
        restart: clock.restart_count,
        clock: clock.clock_ms,
        safe: clock.safe,
    }
}

fn pending(id: PendingId) -> join_reply::Message {
    let pending = Pending { pending_id: id.as_bytes().to_vec().into(), retry_after_ms: PENDING_RETRY_MS };
    join_reply::Message::Pending(pending)
}

fn unexpected(applied: &Applied) -> Rejected {
    Rejected::of(Reason::Internal, format_args!("unexpected outcome {applied:?}"))
}

fn record(claim: &Claim, node: NodeId, visit: Visit) {
    let Claim { ek, ak, pcr_digest } = claim;
    let action = match visit.kind {
        Kind::Join => "join",
        Kind::Renew(..) => "renew",
    };
    let ek = ek.map(tracing::field::display);
    let ak = ak.as_ref().map(tracing::field::display);
    let pcrs = pcr_digest.map(|digest| tracing::field::display(hex::encode(digest)));
    tracing::info!(target: "audit", decision = "allow", action, %node, address = %visit.address, ek, ak, pcrs);
}
