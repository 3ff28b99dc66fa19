//! Machines: joins, waiting joins, renewals. Checks 4, 5, 16 and 19 of the join, again at the moment of the commit.

use holdfast_domain::{
    EkHash, JoinEvidence, NodeId, NodeRole, PcrValue, PendingId, Reason, ReplicaId, SignedAdmission,
    TpmClass, TpmPolicy, UnixMs, codec, evidence::MAX_EVIDENCE,
};

use crate::{
    command::{Joining, Renewal, TpmClock},
    limits,
    member::{AdmittedBy, Member, PendingJoin},
    outcome::Applied,
    state::State,
};

/// How an admission was found for a machine.
type Grounds = (AdmittedBy, Option<SignedAdmission>);

impl State {
    pub(crate) fn join(&mut self, joining: Joining) -> Result<Applied, Reason> {
        let evidence = check(self, &joining)?;
        check_pcrs(self, joining.role, &evidence.selection, &evidence.pcrs)?;
        let node = joining.node;
        let before = self.members.get(&node);
        let (admitted_by, admission) = match before {
            Some(member) => self.grounds_of_return(member, &joining, &evidence)?,
            None => self.grounds(&joining, &evidence)?,
        };
        let limit = before.is_none() && self.members.len() >= limits::MAX_MEMBERS;
        if limit {
            return Err(Reason::Overloaded);
        }
        let replica = (joining.role == NodeRole::Registry).then(|| self.draw_replica());
        self.use_up(&joining, admitted_by);
        let (ek, role) = (joining.ek, joining.role);
        let mut row = admitted(joining, admitted_by, admission, self.clock, replica);
        let again = self.members.remove(&node);
        if let Some(before) = again {
            row.joined = before.joined;
            row.incarnation = before.incarnation.saturating_add(1);
            if keys(&row) == keys(&before) {
                // The first evidence stays: it is the one that a ticket signed.
                row.evidence = before.evidence;
            }
        }
        let incarnation = row.incarnation;
        self.members.insert(node, row);
        self.record(format!(
            "{role} {node} joined by {} (EK {ek}, incarnation {incarnation})",
            admitted_by.as_str()
        ));
        Ok(Applied::Joined { node, replica })
    }

    /// A newcomer's grounds: a ticket that it shows, or its EK on the allow list.
    fn grounds(&self, joining: &Joining, evidence: &JoinEvidence) -> Result<Grounds, Reason> {
        if let Some(proof) = &evidence.ticket {
            // Without a chain, anything that calls itself a TPM could use a ticket that it found (check 4).
            if joining.anchor.is_none() {
                return Err(Reason::EkCertificate);
            }
            let ticket = self.tickets.get(&proof.ticket).ok_or(Reason::TicketUnknown)?;
            return match ticket.used_by {
                Some(_) => Err(Reason::TicketUsed),
                None if ticket.expires <= self.clock => Err(Reason::TicketUnknown),
                None if ticket.role != joining.role => Err(Reason::RoleMismatch),
                None => Ok((AdmittedBy::Ticket(proof.ticket), Some(ticket.admission.clone()))),
            };
        }
        let allowed = self.allowed.get(&joining.ek).ok_or_else(|| self.not_admitted(joining.ek))?;
        if allowed.role != joining.role {
            return Err(Reason::RoleMismatch);
        }
        if joining.anchor.is_none() && matches!(allowed.by, AdmittedBy::Approval(_)) {
            return Err(Reason::EkCertificate);
        }
        Ok((allowed.by, Some(allowed.admission.clone())))
    }

    /// A member's grounds stay with it; new keys of a ticket's machine need the same ticket's signature again, or another act.
    fn grounds_of_return(
        &self,
        member: &Member,
        joining: &Joining,
        evidence: &JoinEvidence,
    ) -> Result<Grounds, Reason> {
        if member.role != joining.role {
            return Err(Reason::RoleMismatch);
        }
        if clock_went_back(&member.clock, &joining.clock) {
            // A cleared TPM starts over: only a fresh admission says that this is what happened.
            return self.grounds(joining, evidence).map_err(|_| Reason::ClockReset);
        }
        let same_keys = member.ak_name == joining.ak_name
            && member.srk_name == joining.srk_name
            && member.tls_key == joining.tls_key;
        let signed_again = evidence.ticket.as_ref().map(|proof| AdmittedBy::Ticket(proof.ticket));
        match member.admitted_by {
            AdmittedBy::Ticket(_) if !same_keys && signed_again != Some(member.admitted_by) => {
                self.grounds(joining, evidence)
            }
            _ => Ok((member.admitted_by, member.admission.clone())),
        }
    }

    fn not_admitted(&self, ek: EkHash) -> Reason {
        let waits = self.pending.values().any(|pending| pending.joining.ek == ek);
        if waits { Reason::PendingApproval } else { Reason::EkNotAdmitted }
    }

    fn use_up(&mut self, joining: &Joining, by: AdmittedBy) {
        if let AdmittedBy::Ticket(ticket) = by
            && let Some(ticket) = self.tickets.get_mut(&ticket)
        {
            ticket.used_by = Some(joining.node);
        }
        self.allowed.remove(&joining.ek);
        self.pending.retain(|_, pending| pending.joining.ek != joining.ek);
    }

    pub(crate) fn join_pending(&mut self, pending: PendingId, joining: Joining) -> Result<Applied, Reason> {
        check(self, &joining)?;
        if joining.anchor.is_none() {
            return Err(Reason::EkNotAdmitted);
        }
        if self.members.contains_key(&joining.node) || self.allowed.contains_key(&joining.ek) {
            return Err(Reason::Conflict);
        }
        let clock = self.clock;
        self.pending.retain(|_, pending| clock.since(pending.since) < limits::PENDING_LIFE_MS);
        let same = self.pending.iter().find(|(_, waiting)| waiting.joining.ek == joining.ek);
        let (id, since) = same.map_or((pending, clock), |(id, waiting)| (*id, waiting.since));
        let taken = same.is_none() && self.pending.contains_key(&pending);
        if taken || (same.is_none() && self.pending.len() >= limits::MAX_PENDING) {
            return Err(Reason::Overloaded);
        }
        if same.is_none() {
            let what =
                format!("{} {} waits for approval as {id} (EK {})", joining.role, joining.node, joining.ek);
            self.record(what);
        }
        self.pending.insert(id, PendingJoin { joining, since });
        Ok(Applied::Pending(id))
    }

    pub(crate) fn renew(&mut self, renewal: Renewal) -> Result<Applied, Reason> {
        let Renewal { node, address, listener, clock, pcrs } = renewal;
        if self.node_banned(node) {
            return Err(Reason::EkBanned);
        }
        let founded = self.founded_or_refuse()?;
        let member = self.members.get(&node).ok_or(Reason::NotFound)?;
        check_address(&address)?;
        if clock_went_back(&member.clock, &clock) {
            return Err(Reason::ClockReset);
        }
        check_pcrs(self, member.role, &founded.genesis.pcr_selection, &pcrs)?;
        let now = self.clock;
        if let Some(member) = self.members.get_mut(&node) {
            (member.address, member.listener, member.renewed) = (address, listener, now);
            member.clock = later(member.clock, clock);
        }
        Ok(Applied::Done)
    }
}

/// What holds for every join, whatever its grounds.
pub(crate) fn check(state: &State, joining: &Joining) -> Result<JoinEvidence, Reason> {
    let genesis = &state.founded_or_refuse()?.genesis;
    check_address(&joining.address)?;
    let sizes_fit = joining.ek_spki.len() <= limits::MAX_SPKI
        && joining.ak_name.len() <= limits::MAX_TPM_NAME
        && joining.srk_name.len() <= limits::MAX_TPM_NAME;
    if !sizes_fit {
        return Err(Reason::Malformed);
    }
    holdfast_keys::P256Public::from_point(&joining.tls_key).map_err(|_| Reason::TlsKey)?;
    let evidence: JoinEvidence =
        codec::decode(&joining.evidence, MAX_EVIDENCE).map_err(|_| Reason::Malformed)?;
    if evidence.cluster != genesis.cluster {
        return Err(Reason::WrongCluster);
    }
    if evidence.role != joining.role {
        return Err(Reason::RoleMismatch);
    }
    let derived = NodeId::derive(genesis.cluster, &joining.ek_spki);
    let bound = state.members.get(&derived).is_none_or(|member| member.ek == joining.ek);
    if derived != joining.node || EkHash::of_spki(&joining.ek_spki) != joining.ek || !bound {
        return Err(Reason::NodeIdMismatch);
    }
    if state.node_banned(joining.node) {
        return Err(Reason::EkBanned);
    }
    if joining.class == TpmClass::Virtual && genesis.tpm_policy == TpmPolicy::HardwareOnly {
        return Err(Reason::TpmClass);
    }
    Ok(evidence)
}

/// The row of a machine that is let in.
pub(crate) fn admitted(
    joining: Joining,
    admitted_by: AdmittedBy,
    admission: Option<SignedAdmission>,
    now: UnixMs,
    replica: Option<ReplicaId>,
) -> Member {
    let Joining {
        node: _,
        role,
        address,
        ek,
        ek_spki,
        ak_name,
        srk_name,
        tls_key,
        listener,
        class,
        anchor: _,
        clock,
        evidence,
    } = joining;
    Member {
        role,
        address,
        ek,
        ek_spki,
        ak_name,
        srk_name,
        tls_key,
        listener,
        class,
        evidence,
        admitted_by,
        admission,
        joined: now,
        renewed: now,
        clock,
        incarnation: 1,
        replica,
    }
}

fn keys(member: &Member) -> (&[u8], &[u8], holdfast_domain::P256Point) {
    (&member.ak_name, &member.srk_name, member.tls_key)
}

/// Check 16: the tuple grows, unless the TPM itself says that it may have lost some of it.
fn clock_went_back(before: &TpmClock, now: &TpmClock) -> bool {
    now.safe && tuple(now) <= tuple(before)
}

/// An unsafe reading must not lower what later ones are held to.
fn later(before: TpmClock, now: TpmClock) -> TpmClock {
    if tuple(&now) > tuple(&before) { now } else { before }
}

const fn tuple(clock: &TpmClock) -> (u32, u32, u64) {
    (clock.reset, clock.restart, clock.clock)
}

fn check_address(address: &str) -> Result<(), Reason> {
    let port = address.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then_some(port));
    let valid = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic());
    if valid && plain && address.len() <= limits::MAX_ADDRESS { Ok(()) } else { Err(Reason::Malformed) }
}

/// The quoted boot state is one that is approved now.
fn check_pcrs(
    state: &State,
    role: NodeRole,
    selection: &holdfast_domain::PcrSelection,
    pcrs: &[PcrValue],
) -> Result<(), Reason> {
    let fits = |approval: &holdfast_domain::PcrApproval| {
        approval.role == role && approval.selection == *selection && approval.pcrs == pcrs
    };
    if state.approvals.iter().any(fits) { Ok(()) } else { Err(Reason::PcrNotApproved) }
}
