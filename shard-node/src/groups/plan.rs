//! What a replica has to do next: the signed map says what should be, Raft says what is, and the difference is one step.
//!
//! Pure, and without memory: what was done shows in the facts, so that every step can be repeated after a crash at any point, by whoever
//! leads then. Reports come before changes, so that the map never falls behind by more than one; one change of membership at a time, and
//! none that would leave the group without a majority that answers. A member of the group that the map does not list is left alone while the
//! map that lists it may be on its way.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::{GroupDescriptor, ReplicaDescriptor, ReplicaId, ReplicaState};

/// Entries that a learner may be behind when it gets its vote.
pub const MAX_LAG: u64 = 256;

/// What this node has of its replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// Nothing: no log, no state.
    Absent,
    /// A log that is not running.
    Stopped,
    /// It runs and does not lead.
    Follows,
    /// It leads, and has applied an entry of its own term.
    Leads,
}

/// How far the last change of membership is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is committed.
    Done,
    /// It is in the log and not committed.
    Pending,
    /// Two sets of voters must agree, and somebody has to end that.
    Joint,
}

/// What Raft and the other members say, as seen by this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftFacts {
    /// This node's part.
    pub own: Own,
    /// Members with a vote.
    pub voters: BTreeSet<ReplicaId>,
    /// Members without.
    pub learners: BTreeSet<ReplicaId>,
    /// The last change of the two.
    pub change: Change,
    /// On the leader: the last entry of its log.
    pub last_log: u64,
    /// On the leader: up to where each other member's log agrees.
    pub matched: BTreeMap<ReplicaId, u64>,
    /// On the leader: members, itself included, that answered a moment ago.
    pub reachable: BTreeSet<ReplicaId>,
    /// On the leader: members that hold every chunk that is named.
    pub complete: BTreeSet<ReplicaId>,
    /// Replicas for which a step failed a moment ago: the others' come first.
    pub put_off: BTreeSet<ReplicaId>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until map or facts change.
    Rest,
    /// Make the group's key and its first replica, and report it.
    Found,
    /// Get the group's key from who wrapped it, and start this replica without a log.
    Join,
    /// Start the replica that the disk holds.
    Resume,
    /// The replica is a voter and its log is gone: it must not vote again under this id.
    ReportLost,
    /// End a change of membership that was left half done.
    FinishChange,
    /// Check the replica's machine, wrap the newest key to it, and add it without a vote.
    Admit(ReplicaId),
    /// Give it a vote.
    Promote(ReplicaId),
    /// Tell the registry that it votes.
    ReportPromoted(ReplicaId),
    /// Take it out of the group.
    Remove(ReplicaId),
    /// Tell the registry that it is no member.
    ReportRemoved(ReplicaId),
    /// Hand the lead to this voter.
    TransferLead(ReplicaId),
}

/// The next step of replica `own`, which the descriptor lists.
pub fn next_step(own: ReplicaId, descriptor: &GroupDescriptor, raft: &RaftFacts) -> Step {
    let Some(of_map) = descriptor.replicas.iter().find(|replica| replica.replica == own) else {
        return Step::Rest;
    };
    match (of_map.state, raft.own) {
        (ReplicaState::Founding, _) => Step::Found,
        (ReplicaState::Learner, Own::Absent) => Step::Join,
        (ReplicaState::Voter, Own::Absent) => Step::ReportLost,
        // Asked for or not, its vote may still be needed until it is out.
        (_, Own::Stopped) => Step::Resume,
        (ReplicaState::Leaving, Own::Absent) | (_, Own::Follows) => Step::Rest,
        (_, Own::Leads) => Leader { own, state: of_map.state, descriptor, raft }.next(),
    }
}

/// Who leads does everything for the others.
struct Leader<'a> {
    own: ReplicaId,
    state: ReplicaState,
    descriptor: &'a GroupDescriptor,
    raft: &'a RaftFacts,
}

impl Leader<'_> {
    fn next(&self) -> Step {
        match self.raft.change {
            Change::Joint => return Step::FinishChange,
            Change::Pending => return Step::Rest,
            Change::Done => {}
        }
        // Only a replica that the map shows as a voter is heard by the registry, and one that leaves does not lead.
        if self.state != ReplicaState::Voter {
            return self.successor().map_or(Step::Rest, Step::TransferLead);
        }
        let steps = [Self::report, Self::remove, Self::admit, Self::promote];
        // What failed a moment ago is tried again when there is nothing else to do, so that it cannot keep the others waiting.
        let next = |put_off| steps.iter().find_map(|step| step(self, put_off));
        next(false).or_else(|| next(true)).unwrap_or(Step::Rest)
    }

    fn report(&self, put_off: bool) -> Option<Step> {
        self.others(put_off).find_map(|replica| {
            let id = replica.replica;
            match replica.state {
                ReplicaState::Learner if self.raft.voters.contains(&id) => Some(Step::ReportPromoted(id)),
                ReplicaState::Leaving if !self.is_member(id) => Some(Step::ReportRemoved(id)),
                _ => None,
            }
        })
    }

    fn remove(&self, put_off: bool) -> Option<Step> {
        let leaves = |replica: &ReplicaDescriptor| {
            replica.state == ReplicaState::Leaving && self.is_member(replica.replica)
        };
        let can_do_without = |id: &ReplicaId| {
            let mut voters = self.raft.voters.clone();
            // Without a vote it is missed by nobody. While it answers, it stays until a majority of the others has every chunk.
            !voters.remove(id)
                || self.has_majority(&voters)
                    && (!self.raft.reachable.contains(id) || self.is_majority(&voters, &self.raft.complete))
        };
        let mut leaving = self.others(put_off).filter(|replica| leaves(replica)).map(|of| of.replica);
        let leaving = leaving.find(can_do_without);
        leaving.or_else(|| self.forgotten(put_off).find(can_do_without)).map(Step::Remove)
    }

    /// Members that the map listed once: ids only grow, so below its highest none is still to come. A leader with an older map let them
    /// in again after another had taken them out.
    fn forgotten(&self, put_off: bool) -> impl Iterator<Item = ReplicaId> {
        let RaftFacts { voters, learners, put_off: asked, .. } = self.raft;
        let listed = |id: &ReplicaId| self.descriptor.replicas.iter().any(|of| of.replica == *id);
        let highest = self.descriptor.replicas.iter().map(|of| of.replica).max();
        let members = voters.iter().chain(learners).copied();
        members.filter(move |id| !listed(id) && Some(*id) < highest && asked.contains(id) == put_off)
    }

    fn admit(&self, put_off: bool) -> Option<Step> {
        let mut wanted = self.others(put_off).filter(|replica| is_wanted(replica));
        wanted.find(|replica| !self.is_member(replica.replica)).map(|replica| Step::Admit(replica.replica))
    }

    fn promote(&self, put_off: bool) -> Option<Step> {
        let without_vote = |id: &ReplicaId| self.raft.learners.contains(id);
        let mut waiting = self
            .others(put_off)
            .filter(|replica| is_wanted(replica))
            .map(|of| of.replica)
            .filter(without_vote);
        waiting.find(|id| self.may_vote(*id)).map(Step::Promote)
    }

    fn may_vote(&self, id: ReplicaId) -> bool {
        let RaftFacts { matched, last_log, reachable, complete, voters, .. } = self.raft;
        let up_to_date = matched.get(&id).is_some_and(|matched| matched.saturating_add(MAX_LAG) >= *last_log);
        let mut voters = voters.clone();
        voters.insert(id);
        up_to_date && reachable.contains(&id) && complete.contains(&id) && self.has_majority(&voters)
    }

    /// The voter of the map and of the group that is closest, to lead from now on.
    fn successor(&self) -> Option<ReplicaId> {
        let RaftFacts { matched, voters, reachable, .. } = self.raft;
        let fit = |replica: &&ReplicaDescriptor| {
            replica.state == ReplicaState::Voter
                && voters.contains(&replica.replica)
                && reachable.contains(&replica.replica)
        };
        let fit = self.others(false).chain(self.others(true)).filter(fit);
        fit.map(|of| of.replica).max_by_key(|id| matched.get(id).copied())
    }

    fn has_majority(&self, voters: &BTreeSet<ReplicaId>) -> bool {
        self.is_majority(voters, &self.raft.reachable)
    }

    fn is_majority(&self, voters: &BTreeSet<ReplicaId>, of: &BTreeSet<ReplicaId>) -> bool {
        let counted = voters.iter().filter(|id| **id == self.own || of.contains(id));
        counted.count() > voters.len() / 2
    }

    fn is_member(&self, id: ReplicaId) -> bool {
        self.raft.voters.contains(&id) || self.raft.learners.contains(&id)
    }

    fn others(&self, put_off: bool) -> impl Iterator<Item = &ReplicaDescriptor> {
        let asked = move |id| self.raft.put_off.contains(&id) == put_off;
        self.descriptor.replicas.iter().filter(move |of| of.replica != self.own && asked(of.replica))
    }
}

/// Whether the map wants it to vote.
fn is_wanted(replica: &ReplicaDescriptor) -> bool {
    matches!(replica.state, ReplicaState::Learner | ReplicaState::Voter)
}
