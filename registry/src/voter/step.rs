//! The next thing a leader has to do, as a pure function of state and membership.

use holdfast_consensus::{Member, MembershipView, Pin};
use holdfast_domain::{NodeId, NodeRole, ReplicaId, SpiffeSubject};
use holdfast_registry_state::{State, Voter, VoterState};

/// One step; after it the leader looks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A replica of a banned machine, or of an earlier incarnation, leaves.
    Remove(ReplicaId),
    /// A machine that joined becomes a learner.
    Add(ReplicaId, Member),
    /// The membership learns a member's present address.
    Update(ReplicaId, Member),
    /// The state learns of a member of the group.
    Row(ReplicaId, Member),
    /// A learner gets its vote.
    Promote(ReplicaId, NodeId),
    /// The state learns that a member votes.
    Votes(NodeId),
    /// The state learns that a machine left.
    Gone(NodeId),
}

/// What differs first between what the state wants and what the membership is. `own` is the leader, which does not remove itself.
pub(super) fn next(state: &State, membership: &MembershipView, own: ReplicaId) -> Option<Step> {
    let wanted: Vec<(ReplicaId, Member)> = state.members().filter_map(|row| wanted(state, row)).collect();
    let is_wanted = |replica: ReplicaId| wanted.iter().any(|(id, _)| *id == replica);
    let stale = membership.members.keys().find(|replica| **replica != own && !is_wanted(**replica));
    if let Some(replica) = stale {
        return Some(Step::Remove(*replica));
    }
    for (replica, member) in &wanted {
        match membership.members.get(replica) {
            None => return Some(Step::Add(*replica, member.clone())),
            Some(known) if known != member => return Some(Step::Update(*replica, member.clone())),
            Some(_) => {}
        }
        let row = state.voters().find(|voter| voter.endpoint.node == member.node);
        let votes = membership.voters.contains(replica) && !membership.joint;
        match row {
            Some(row) if !shows(row, *replica, member) => return Some(Step::Row(*replica, member.clone())),
            None => return Some(Step::Row(*replica, member.clone())),
            Some(row) if votes && row.state != VoterState::Voter => return Some(Step::Votes(member.node)),
            Some(row) if !votes && row.state == VoterState::Promoting => {
                return Some(Step::Promote(*replica, member.node));
            }
            Some(_) => {}
        }
    }
    let gone = state.voters().find(|voter| !membership.members.contains_key(&voter.endpoint.replica));
    gone.map(|voter| Step::Gone(voter.endpoint.node))
}

/// A registry machine in good standing, as the membership should have it.
fn wanted(
    state: &State,
    (node, member): (NodeId, &holdfast_registry_state::Member),
) -> Option<(ReplicaId, Member)> {
    let banned = state.is_banned(&SpiffeSubject::Registry(node));
    let replica = member.replica.filter(|_| member.role == NodeRole::Registry && !banned)?;
    Some((replica, Member { node, address: member.address.clone(), pin: Pin::Key(member.listener) }))
}

fn shows(row: &Voter, replica: ReplicaId, member: &Member) -> bool {
    let endpoint = &row.endpoint;
    endpoint.replica == replica && endpoint.address == member.address && Pin::Key(endpoint.spki) == member.pin
}
