//! Who is in a group. Changes are made by its leader only: a member that may propose may not decide this.
//!
//! A leader never votes itself out. Between its last entry as a voter and the others' receipt of it, it would hold the longest log without
//! being allowed to campaign, and whoever needs its vote could never win it: the group would stand still for ever (Raft dissertation,
//! section 4.2.2). It hands the lead over first, and its successor removes it.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_domain::ReplicaId;
use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, InitializeError, RaftError};

use super::{Group, MembershipError};
use crate::types::Types;
use crate::{Member, limits};

impl Group {
    /// Starts a new group with these voters, the same on each of them. Does nothing on a replica that already has a
    /// log.
    ///
    /// # Errors
    /// When this replica is not among them, or they cannot be a membership.
    pub async fn bootstrap(&self, members: BTreeMap<ReplicaId, Member>) -> Result<(), MembershipError> {
        let group = self.id();
        for member in members.values() {
            self.check_member(member)?;
        }
        if members.len() > limits::MAX_MEMBERS {
            return Err(MembershipError::Refused { group, reason: "too many members".into() });
        }
        let members: BTreeMap<u64, Member> = members.into_iter().map(|(id, member)| (id.0, member)).collect();
        let initialized = self.0.raft().initialize(members).await;
        if initialized.is_ok() {
            // Nothing was ever acknowledged under this id.
            self.0.take_part();
        }
        match initialized {
            // Frames of the others are judged by what the status says.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => self
                .wait_for(limits::DEFAULT_PATIENCE, |status| status.last_log)
                .await
                .map(drop)
                .map_err(|_| MembershipError::Stopped { group }),
            Err(RaftError::APIError(error)) => {
                Err(MembershipError::Refused { group, reason: error.to_string() })
            }
            Err(RaftError::Fatal(_)) => Err(MembershipError::Stopped { group }),
        }
    }

    /// Adds a replica without a vote. Returns when that is committed; see [`Group::wait_caught_up`]. On the leader
    /// only, like every change below.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_learner(&self, replica: ReplicaId, member: Member) -> Result<(), MembershipError> {
        let known = self.status().membership;
        if known.members.contains_key(&replica) {
            return Err(self.refused("the replica is a member already"));
        }
        if known.members.len() >= limits::MAX_MEMBERS {
            return Err(self.refused("too many members"));
        }
        self.check_member(&member)?;
        self.0.rouse().await;
        self.changed(self.0.raft().add_learner(replica.0, member, false).await)
    }

    /// Gives learners a vote.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn promote(&self, replicas: BTreeSet<ReplicaId>) -> Result<(), MembershipError> {
        self.change(ChangeMembers::AddVoterIds(ids(&replicas))).await
    }

    /// Removes other replicas, voters or learners, for ever.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove(&self, replicas: BTreeSet<ReplicaId>) -> Result<(), MembershipError> {
        if replicas.contains(&self.replica()) {
            return Err(self.refused("a leader hands the lead over before it leaves"));
        }
        let voters = &self.status().membership.voters;
        let (voters, learners): (BTreeSet<_>, BTreeSet<_>) =
            replicas.into_iter().partition(|replica| voters.contains(replica));
        if !voters.is_empty() {
            self.change(ChangeMembers::RemoveVoters(ids(&voters))).await?;
        }
        if !learners.is_empty() {
            self.change(ChangeMembers::RemoveNodes(ids(&learners))).await?;
        }
        Ok(())
    }

    /// Updates what the membership says of replicas: address, pinned key.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn update_members(&self, members: BTreeMap<ReplicaId, Member>) -> Result<(), MembershipError> {
        for member in members.values() {
            self.check_member(member)?;
        }
        let known = self.status().membership;
        if !members.keys().all(|replica| known.members.contains_key(replica)) {
            return Err(self.refused("only members are updated"));
        }
        self.change(ChangeMembers::SetNodes(members.into_iter().map(|(id, member)| (id.0, member)).collect()))
            .await
    }

    async fn change(&self, change: ChangeMembers<u64, Member>) -> Result<(), MembershipError> {
        self.0.rouse().await;
        self.changed(self.0.raft().change_membership(change, false).await)
    }

    fn check_member(&self, member: &Member) -> Result<(), MembershipError> {
        if member.address.len() > limits::MAX_ADDRESS_BYTES {
            return Err(self.refused("an address is too long"));
        }
        Ok(())
    }

    fn refused(&self, reason: &str) -> MembershipError {
        MembershipError::Refused { group: self.id(), reason: reason.to_owned() }
    }

    fn changed<T>(
        &self,
        result: Result<T, RaftError<Types, ClientWriteError<Types>>>,
    ) -> Result<(), MembershipError> {
        let group = self.id();
        match result {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(MembershipError::NotLeader { group, leader: self.0.leader() })
            }
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(_))) => {
                Err(MembershipError::Unknown { group })
            }
            Err(RaftError::APIError(error)) => Err(self.refused(&error.to_string())),
            Err(RaftError::Fatal(_)) => Err(MembershipError::Stopped { group }),
        }
    }
}

fn ids(replicas: &BTreeSet<ReplicaId>) -> BTreeSet<u64> {
    replicas.iter().map(|replica| replica.0).collect()
}
