//! Rows of the registry's own group: what everyone dials. The membership that counts votes is the consensus library's.

use holdfast_domain::{NodeId, NodeRole, Reason, ReplicaId, SpiffeSubject, SpkiHash, VoterEndpoint};

use crate::{
    member::{Voter, VoterState},
    outcome::Applied,
    state::State,
};

impl State {
    pub(crate) fn voter_added(
        &mut self,
        node: NodeId,
        replica: ReplicaId,
        address: String,
        spki: SpkiHash,
    ) -> Result<Applied, Reason> {
        let member = self.members.get(&node).ok_or(Reason::NotFound)?;
        if member.role != NodeRole::Registry {
            return Err(Reason::RoleMismatch);
        }
        if self.node_banned(node) {
            return Err(Reason::EkBanned);
        }
        if member.replica != Some(replica) || address.len() > crate::limits::MAX_ADDRESS {
            return Err(Reason::Conflict);
        }
        let before = self.voters.get(&node).filter(|voter| voter.endpoint.replica == replica);
        let state = before.map_or(VoterState::Learner, |voter| voter.state);
        if before.is_none() {
            self.record(format!("registry {node} is a learner as replica {replica}"));
        }
        let endpoint = VoterEndpoint { node, replica, address, spki };
        self.voters.insert(node, Voter { endpoint, state });
        Ok(Applied::Done)
    }

    /// An operator's wish, which whoever leads carries out.
    pub(crate) fn promote_voter(&mut self, by: &SpiffeSubject, node: NodeId) -> Result<Applied, Reason> {
        if self.node_banned(node) {
            return Err(Reason::EkBanned);
        }
        let voter = self.voters.get_mut(&node).ok_or(Reason::NotFound)?;
        if voter.state == VoterState::Learner {
            voter.state = VoterState::Promoting;
            self.record(format!("registry {node} is to vote, asked by {by}"));
        }
        Ok(Applied::Done)
    }

    pub(crate) fn voter_promoted(&mut self, node: NodeId) -> Result<Applied, Reason> {
        if self.node_banned(node) {
            return Err(Reason::EkBanned);
        }
        let voter = self.voters.get_mut(&node).ok_or(Reason::NotFound)?;
        if voter.state != VoterState::Voter {
            voter.state = VoterState::Voter;
            self.record(format!("registry {node} votes"));
        }
        Ok(Applied::Done)
    }

    pub(crate) fn voter_removed(&mut self, node: NodeId) -> Result<Applied, Reason> {
        self.voters.remove(&node).ok_or(Reason::NotFound)?;
        self.record(format!("registry {node} left the group"));
        Ok(Applied::Done)
    }
}
