//! What a replica says about its group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdfast_domain::{GroupId, ReplicaId};

use crate::{Member, Rollback};

/// What a replica does in its group at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Decides the order of the log.
    Leader,
    /// Votes and follows.
    Follower,
    /// Wants to lead.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Stopped, by request or by a failure that the log tells.
    Stopped,
}

/// Whether a replica takes part in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Not yet: it neither votes nor acknowledges until its peers told what they remember of it.
    Proving,
    /// Yes.
    Proven,
    /// Never again under this id: its disk is older than what it acknowledged. Replace it.
    RolledBack(Rollback),
}

/// The members of a group, as of the last entry in the replica's log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MembershipView {
    /// Index of the entry that set it.
    pub index: Option<u64>,
    /// Replicas with a vote; during a change, of both the old and the new set.
    pub voters: BTreeSet<ReplicaId>,
    /// A change is under way: two sets of voters must agree.
    pub joint: bool,
    /// All replicas, voters and learners.
    pub members: BTreeMap<ReplicaId, Member>,
}

/// A replica's view of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// This replica.
    pub replica: ReplicaId,
    /// What it does.
    pub role: Role,
    /// Who leads, as far as it knows.
    pub leader: Option<ReplicaId>,
    /// Its term.
    pub term: u64,
    /// Last entry in its log.
    pub last_log: Option<u64>,
    /// Last entry that a quorum is known to hold.
    pub committed: Option<u64>,
    /// Last entry in its state machine.
    pub applied: Option<u64>,
    /// Last entry in its snapshot.
    pub snapshot: Option<u64>,
    /// Last entry purged from its log.
    pub purged: Option<u64>,
    /// The members.
    pub membership: Arc<MembershipView>,
    /// On the leader: how far each other member's log matches.
    pub matched: BTreeMap<ReplicaId, Option<u64>>,
    /// It does not tick: quiet, equal to its leader, and woken by whatever comes next.
    pub sleeping: bool,
    /// Whether it takes part.
    pub standing: Standing,
}

impl GroupStatus {
    /// Whether this replica leads.
    pub fn leads(&self) -> bool {
        self.role == Role::Leader
    }

    /// Set when the replica's disk was put back to an older state: it takes no part and must be replaced.
    pub fn rolled_back(&self) -> Option<Rollback> {
        match self.standing {
            Standing::RolledBack(rollback) => Some(rollback),
            Standing::Proving | Standing::Proven => None,
        }
    }

    /// Members without a vote.
    pub fn learners(&self) -> BTreeSet<ReplicaId> {
        let MembershipView { index: _, voters, joint: _, members } = &*self.membership;
        members.keys().copied().filter(|replica| !voters.contains(replica)).collect()
    }

    /// On the leader: how many entries a member is behind. `None` where nothing is known of it.
    pub fn lag(&self, replica: ReplicaId) -> Option<u64> {
        let last = self.last_log?;
        if replica == self.replica {
            return Some(0);
        }
        let matched = self.matched.get(&replica).copied()?;
        Some(matched.map_or(last.saturating_add(1), |matched| last.saturating_sub(matched)))
    }
}
