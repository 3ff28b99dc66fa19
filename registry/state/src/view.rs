//! Reading the state.

use holdfast_domain::{
    BanSubject, ClientId, Genesis, GroupDescriptor, GroupId, InvitePublic, KeyGeneration, NodeId, NodeRole,
    OperatorKey, OperatorName, PcrApproval, PendingId, PolicyEpoch, ReplicaState, ShardMap, Signed, Slot,
    TicketPublic, UnixMs,
};

use crate::{
    audit::AuditLog,
    member::{Allowed, Client, Invite, Member, PendingJoin, Ticket, Voter},
    state::{Founded, State},
};

/// Numbers for an overview.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shard nodes.
    pub nodes: usize,
    /// Groups.
    pub groups: usize,
    /// Groups that serve.
    pub groups_ready: usize,
    /// Client keys.
    pub clients: usize,
    /// Bans in force.
    pub bans: usize,
    /// Joins that wait.
    pub pending: usize,
}

/// How far a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// Its key is not made yet.
    Founding,
    /// It has fewer replicas that vote than it is to have.
    Filling,
    /// Nothing is under way.
    Ready,
    /// A replica is replaced, or leaves.
    Moving,
    /// It has no slots: those to come are not there yet, or all are gone.
    Empty,
}

impl GroupState {
    /// The word in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Founding => "founding",
            Self::Filling => "filling",
            Self::Ready => "ready",
            Self::Moving => "moving",
            Self::Empty => "empty",
        }
    }
}

impl State {
    /// What was fixed at the beginning; `None` before it.
    pub fn founded(&self) -> Option<&Founded> {
        self.founded.as_ref()
    }

    /// The genesis record; `None` before the beginning.
    pub fn genesis(&self) -> Option<&Genesis> {
        self.founded.as_ref().map(|founded| &founded.genesis)
    }

    /// Number of the last command.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The state's clock: the greatest time that a command carried.
    pub fn clock(&self) -> UnixMs {
        self.clock
    }

    /// The operators, and how many must sign.
    pub fn operators(&self) -> (&[OperatorKey], u8) {
        (&self.operators, self.operator_threshold)
    }

    /// Every signed change of the operators since the genesis record, in order.
    pub fn operator_chain(&self) -> &[holdfast_domain::SignedAdmission] {
        &self.operator_chain
    }

    /// Number of changes of the operators since the genesis record: what requests must name.
    pub fn operator_set(&self) -> u32 {
        u32::try_from(self.operator_chain.len()).unwrap_or(u32::MAX)
    }

    /// One operator, unless banned.
    pub fn operator(&self, name: &OperatorName) -> Option<&OperatorKey> {
        self.operators.iter().find(|operator| operator.name == *name && self.may_sign(operator))
    }

    /// The registry's own secrets, sealed under this generation of its key.
    pub fn secrets(&self) -> (KeyGeneration, &[u8]) {
        (self.secrets_generation, &self.sealed_secrets)
    }

    /// A machine that joined.
    pub fn member(&self, node: NodeId) -> Option<&Member> {
        self.members.get(&node)
    }

    /// All machines that joined.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.members.iter().map(|(node, member)| (*node, member))
    }

    /// Whether an EK may join, and as what.
    pub fn allowed(&self, ek: holdfast_domain::EkHash) -> Option<&Allowed> {
        self.allowed.get(&ek)
    }

    /// A ticket.
    pub fn ticket(&self, ticket: TicketPublic) -> Option<&Ticket> {
        self.tickets.get(&ticket)
    }

    /// Joins that wait for approval.
    pub fn pending(&self) -> impl Iterator<Item = (PendingId, &PendingJoin)> {
        self.pending.iter().map(|(id, pending)| (*id, pending))
    }

    /// Approvals in force for a role.
    pub fn approvals(&self, role: NodeRole) -> impl Iterator<Item = &PcrApproval> {
        self.approvals.iter().filter(move |approval| approval.role == role)
    }

    /// The policy epoch in force.
    pub fn policy_epoch(&self) -> PolicyEpoch {
        self.policy_epoch
    }

    /// An unused invite.
    pub fn invite(&self, invite: InvitePublic) -> Option<&Invite> {
        self.invites.get(&invite)
    }

    /// A client's key, and its account's quota in bytes.
    pub fn client(&self, client: ClientId) -> Option<(&Client, u64)> {
        let row = self.clients.get(&client)?;
        Some((row, self.accounts.get(&row.account).copied().unwrap_or_default()))
    }

    /// Members of the registry's group.
    pub fn voters(&self) -> impl Iterator<Item = &Voter> {
        self.voters.values()
    }

    /// The operators' bans; [`State::barred`] has all that are to be kept out.
    pub fn bans(&self) -> impl Iterator<Item = &BanSubject> {
        self.bans.iter()
    }

    /// The map in force, signed and decoded.
    pub fn map(&self) -> Option<(&Signed<ShardMap>, &ShardMap)> {
        self.map.as_ref().map(|(signed, map)| (signed, map))
    }

    /// Replicas whose deletion was not reported yet.
    pub fn dropping(&self) -> impl Iterator<Item = (GroupId, holdfast_domain::ReplicaId, NodeId)> {
        self.shards.dropping.iter().map(|((group, replica), node)| (*group, *replica, *node))
    }

    /// The record of changes of trust.
    pub fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// Replicas that a node is to delete.
    pub fn drops_for(&self, node: NodeId) -> impl Iterator<Item = (GroupId, holdfast_domain::ReplicaId)> {
        self.dropping()
            .filter(move |(_, _, holder)| *holder == node)
            .map(|(group, replica, _)| (group, replica))
    }

    /// How many replicas a group is to have.
    pub fn wanted(&self, group: GroupId) -> u8 {
        self.shards.wanted.get(&group).copied().unwrap_or_default()
    }

    /// The replica whose place a learner takes.
    pub fn replaced_by(
        &self,
        group: GroupId,
        learner: holdfast_domain::ReplicaId,
    ) -> Option<holdfast_domain::ReplicaId> {
        self.shards.replacing.get(&(group, learner)).copied()
    }

    pub(crate) fn is_replaced(&self, group: GroupId, replica: holdfast_domain::ReplicaId) -> bool {
        self.shards.replacing.iter().any(|((of, _), old)| (*of, *old) == (group, replica))
    }

    /// The group that a group's slots are going to.
    pub fn split_target(&self, from: GroupId) -> Option<GroupId> {
        crate::plan::split_target(self, from)
    }

    /// Splits that begin once their new group has all its replicas: who gets what of whom. Every other move of slots is in the map.
    pub fn waiting_splits(&self) -> impl Iterator<Item = (GroupId, GroupId, &[(Slot, Slot)])> {
        self.shards.splits.iter().map(|(to, (from, slots))| (*from, *to, slots.as_slice()))
    }

    /// How far a group of the map is.
    pub fn group_state(&self, group: &GroupDescriptor) -> GroupState {
        let moves = |replica: &holdfast_domain::ReplicaDescriptor| {
            replica.state == ReplicaState::Leaving || self.is_replaced(group.group, replica.replica)
        };
        if group.is_new() {
            GroupState::Founding
        } else if group.replicas.iter().any(moves) {
            GroupState::Moving
        } else if group.voters().count() < usize::from(self.wanted(group.group)) {
            GroupState::Filling
        } else if group.slots.is_empty() {
            GroupState::Empty
        } else {
            GroupState::Ready
        }
    }

    /// Numbers for an overview.
    pub fn counts(&self) -> Counts {
        let groups = self.map.iter().flat_map(|(_, map)| &map.groups);
        Counts {
            nodes: self.members.values().filter(|member| member.role == NodeRole::Node).count(),
            groups: groups.clone().count(),
            groups_ready: groups.filter(|group| !group.is_new() && group.is_settled()).count(),
            clients: self.clients.len(),
            bans: self.bans.len(),
            pending: self.pending.len(),
        }
    }
}
