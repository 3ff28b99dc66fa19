//! What operators ask for: each request signed by enough of them, for this cluster, once.

use holdfast_domain::{
    Admission, BanSubject, EkHash, NodeRole, OperatorKey, OperatorRequest, PcrApproval, PendingId, Reason,
    RequestSerial, SignedAdmission, UnixMs,
};
use holdfast_tpm_verify::{PolicyKey, admission::OperatorSet};

use crate::{
    limits,
    member::{AdmittedBy, Allowed, Invite, Ticket},
    outcome::Applied,
    state::State,
    verify,
};

impl State {
    pub(crate) fn admit(&mut self, signed: SignedAdmission) -> Result<Applied, Reason> {
        let verified = verify::admission(self, &signed)?;
        let signers: Vec<_> = verified.signers().iter().map(|name| name.as_str()).collect();
        let what = format!("{} [signed by {}]", describe(verified.request()), signers.join(", "));
        let Admission { cluster: _, set: _, serial, issued, expires, request } = verified.into_admission();
        self.check_fresh(serial, issued, expires)?;
        self.grant(request, signed)?;
        self.serials.insert(serial, expires);
        self.record(what);
        Ok(Applied::Done)
    }

    /// A request is applied once, and only while it is valid; that is what bounds the serials to remember.
    fn check_fresh(&mut self, serial: RequestSerial, issued: UnixMs, expires: UnixMs) -> Result<(), Reason> {
        let now = self.clock;
        if expires <= now || expires.since(issued) > limits::MAX_ADMISSION_LIFE_MS {
            return Err(Reason::AdmissionReplayed);
        }
        if issued.since(now) > limits::MAX_SKEW_MS {
            return Err(Reason::ClockSkew);
        }
        self.serials.retain(|_, expires| *expires > now);
        if self.serials.contains_key(&serial) {
            return Err(Reason::AdmissionReplayed);
        }
        if self.serials.len() >= limits::MAX_SERIALS { Err(Reason::Overloaded) } else { Ok(()) }
    }

    fn grant(&mut self, request: OperatorRequest, admission: SignedAdmission) -> Result<(), Reason> {
        match request {
            OperatorRequest::AllowEk { ek, role } => self.allow(ek, role, AdmittedBy::Ek, admission),
            OperatorRequest::Approve { pending, ek, role } => self.approve(pending, ek, role, admission),
            OperatorRequest::IssueTicket { ticket, role, expires } => {
                let now = self.clock;
                self.tickets.retain(|_, ticket| ticket.expires > now);
                if self.tickets.contains_key(&ticket) {
                    return Err(Reason::Conflict);
                }
                check_room(self.tickets.len(), limits::MAX_TICKETS)?;
                self.tickets.insert(ticket, Ticket { role, expires, used_by: None, admission });
                Ok(())
            }
            OperatorRequest::ApprovePcrs(approval) => self.approve_pcrs(approval),
            OperatorRequest::Invite { invite, quota_bytes, expires } => {
                let now = self.clock;
                self.invites.retain(|_, invite| invite.expires > now);
                if self.invites.contains_key(&invite) {
                    return Err(Reason::Conflict);
                }
                check_room(self.invites.len(), limits::MAX_INVITES)?;
                self.invites.insert(invite, Invite { quota_bytes, expires });
                Ok(())
            }
            OperatorRequest::Ban(subject) => self.ban(subject),
            OperatorRequest::Unban(subject) => {
                if self.bans.remove(&subject) {
                    Ok(())
                } else {
                    Err(Reason::NotFound)
                }
            }
            OperatorRequest::SetupToken { token, expires } => {
                let now = self.clock;
                self.people.tokens.retain(|_, expires| *expires > now);
                if self.people.tokens.contains_key(&token) {
                    return Err(Reason::Conflict);
                }
                check_room(self.people.tokens.len(), limits::MAX_SETUP_TOKENS)?;
                self.people.tokens.insert(token, expires);
                Ok(())
            }
            OperatorRequest::SetOperators { operators, threshold, keep } => {
                check_room(self.operator_chain.len(), limits::MAX_OPERATOR_CHANGES)?;
                self.install_operators(operators, threshold)?;
                self.operator_chain.push(admission);
                // Replicas give no key to what is not kept, so nothing else may join on it either.
                self.allowed.retain(|ek, _| keep.contains(ek));
                self.tickets.clear();
                self.people.tokens.clear();
                Ok(())
            }
        }
    }

    fn allow(
        &mut self,
        ek: EkHash,
        role: NodeRole,
        by: AdmittedBy,
        admission: SignedAdmission,
    ) -> Result<(), Reason> {
        check_room(self.allowed.len(), limits::MAX_ALLOWED)?;
        self.allowed.insert(ek, Allowed { role, by, admission });
        Ok(())
    }

    fn approve(
        &mut self,
        pending: PendingId,
        ek: EkHash,
        role: NodeRole,
        admission: SignedAdmission,
    ) -> Result<(), Reason> {
        let waiting = self.pending.get(&pending).ok_or(Reason::NotFound)?;
        if waiting.joining.ek != ek {
            return Err(Reason::NodeIdMismatch);
        }
        if waiting.joining.role != role {
            return Err(Reason::RoleMismatch);
        }
        self.allow(ek, role, AdmittedBy::Approval(pending), admission)?;
        self.pending.remove(&pending);
        Ok(())
    }

    /// An approval of a higher policy epoch voids all lower ones; one of a lower epoch comes too late.
    pub(crate) fn approve_pcrs(&mut self, approval: PcrApproval) -> Result<(), Reason> {
        let genesis = &self.founded_or_refuse()?.genesis;
        let key = PolicyKey::new(&genesis.pcr_policy_key).map_err(|_| Reason::Malformed)?;
        key.verify(genesis.cluster, &approval).map_err(|_| Reason::AdmissionUnsigned)?;
        if approval.selection != genesis.pcr_selection {
            return Err(Reason::PcrSelection);
        }
        if approval.policy_epoch < self.policy_epoch {
            return Err(Reason::Conflict);
        }
        if approval.policy_epoch > self.policy_epoch {
            self.policy_epoch = approval.policy_epoch;
            self.approvals.clear();
        }
        let same = |known: &PcrApproval| known.role == approval.role && known.pcrs == approval.pcrs;
        if !self.approvals.iter().any(same) {
            check_room(self.approvals.len(), limits::MAX_APPROVALS)?;
            self.approvals.push(approval);
        }
        Ok(())
    }

    /// Bans someone. Operators cannot ban so many of themselves that nobody could ever sign again.
    fn ban(&mut self, subject: BanSubject) -> Result<(), Reason> {
        check_room(self.bans.len(), limits::MAX_BANS)?;
        if let BanSubject::Operator(name) = &subject {
            let left =
                self.operators.iter().filter(|operator| operator.name != *name && self.may_sign(operator));
            if left.count() < usize::from(self.operator_threshold) {
                return Err(Reason::Conflict);
            }
        }
        if let BanSubject::Node(node) = &subject {
            let ek = self.members.get(node).map(|member| member.ek);
            self.allowed.retain(|allowed, _| Some(*allowed) != ek);
            self.pending.retain(|_, pending| pending.joining.node != *node);
        }
        self.bans.insert(subject);
        Ok(())
    }

    /// Replaces the operators; enough of the new ones must be able to sign.
    pub(crate) fn install_operators(
        &mut self,
        operators: Vec<OperatorKey>,
        threshold: u8,
    ) -> Result<(), Reason> {
        OperatorSet::new(self.operator_set(), &operators, threshold).map_err(|_| Reason::Malformed)?;
        let able = operators.iter().filter(|operator| self.may_sign(operator)).count();
        if able < usize::from(threshold) {
            return Err(Reason::Conflict);
        }
        self.operators = operators;
        self.operator_threshold = threshold;
        Ok(())
    }

    pub(crate) fn may_sign(&self, operator: &OperatorKey) -> bool {
        !self.bans.contains(&BanSubject::Operator(operator.name.clone()))
    }
}

fn check_room(len: usize, max: usize) -> Result<(), Reason> {
    if len < max { Ok(()) } else { Err(Reason::Overloaded) }
}

fn describe(request: &OperatorRequest) -> String {
    match request {
        OperatorRequest::AllowEk { ek, role } => format!("EK {ek} may join as {role}"),
        OperatorRequest::Approve { pending, ek, role } => {
            format!("join {pending} approved: EK {ek} as {role}")
        }
        OperatorRequest::IssueTicket { ticket, role, .. } => format!("ticket {ticket} for one {role}"),
        OperatorRequest::ApprovePcrs(approval) => {
            format!("boot state approved for {} at policy epoch {}", approval.role, approval.policy_epoch)
        }
        OperatorRequest::Invite { invite, quota_bytes, .. } => {
            format!("invite {invite} with a quota of {quota_bytes} bytes")
        }
        OperatorRequest::Ban(subject) => format!("banned: {subject:?}"),
        OperatorRequest::Unban(subject) => format!("ban lifted: {subject:?}"),
        OperatorRequest::SetupToken { token, .. } => format!("set-up token {token} for one superadmin"),
        OperatorRequest::SetOperators { operators, threshold, keep } => {
            let (operators, kept) = (operators.len(), keep.len());
            format!("{operators} operators, {threshold} of them must sign, {kept} EKs stay admitted")
        }
    }
}
