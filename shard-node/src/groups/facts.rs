//! What the planner is told: Raft's status, and what the other members answer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use holdfast_consensus::{Group, GroupStatus};
use holdfast_domain::{GroupDescriptor, GroupId, ReplicaDescriptor, ReplicaId};
use holdfast_proto::node::v1::{ReadinessReply, ReadinessRequest};

use super::{
    Runtime,
    plan::{Change, Own, RaftFacts},
};

/// How long another member may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// First and longest pause after a step that failed.
const MIN_PAUSE: Duration = Duration::from_millis(250);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A replica whose step failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct PutOff {
    until: Instant,
    pause: Duration,
}

impl PutOff {
    /// After one more failure.
    pub(super) fn again(before: Option<Self>) -> Self {
        let pause = before.map_or(MIN_PAUSE, |before| (before.pause * 2).min(MAX_PAUSE));
        Self { until: Instant::now() + pause, pause }
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Runtime {
    /// What is known without asking anybody: everybody answers and holds everything.
    pub(super) fn facts_at_hand(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        raft: Option<&Group>,
    ) -> RaftFacts {
        let everybody: BTreeSet<_> = descriptor.replicas.iter().map(|replica| replica.replica).collect();
        let stored = || self.consensus.stored().contains(&(descriptor.group, own));
        let own_part = match raft {
            Some(raft) if raft.leading_term().is_some() => Own::Leads,
            Some(_) => Own::Follows,
            None if stored() => Own::Stopped,
            None => Own::Absent,
        };
        let status = raft.map(Group::status);
        let membership = status.as_ref().map(|status| status.membership.clone()).unwrap_or_default();
        RaftFacts {
            own: own_part,
            voters: membership.voters.clone(),
            learners: status.as_ref().map(GroupStatus::learners).unwrap_or_default(),
            change: status.as_ref().map_or(Change::Done, change),
            last_log: status.as_ref().and_then(|status| status.last_log).unwrap_or_default(),
            matched: status
                .iter()
                .flat_map(|status| &status.matched)
                .filter_map(|(id, at)| Some((*id, (*at)?)))
                .collect(),
            reachable: everybody.clone(),
            complete: everybody,
            put_off: self.put_off(descriptor.group),
        }
    }

    /// The same with what the others say.
    pub(super) async fn facts(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        raft: Option<&Group>,
    ) -> RaftFacts {
        let mut facts = self.facts_at_hand(descriptor, own, raft);
        if facts.own == Own::Leads {
            let committed = raft.and_then(|raft| raft.status().committed).unwrap_or_default();
            let answers = self.ask_all(descriptor, own, 0).await;
            facts.reachable = answers.iter().map(|(id, _)| *id).chain([own]).collect();
            let is_whole =
                |said: &ReadinessReply| said.missing_chunks == 0 && said.applied_index >= committed;
            let complete = answers.iter().filter(|(_, said)| is_whole(said));
            facts.complete = complete.map(|(id, _)| *id).chain([own]).collect();
        }
        facts
    }

    /// How far the other replicas are, those that answer. With a generation, they fetch that key first.
    pub(super) async fn ask_all(
        &self,
        descriptor: &GroupDescriptor,
        own: ReplicaId,
        key_generation: u32,
    ) -> Vec<(ReplicaId, ReadinessReply)> {
        let others = descriptor.replicas.iter().filter(|replica| replica.replica != own);
        let asked = others.map(|replica| self.ask(descriptor.group, replica, key_generation));
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    async fn ask(
        &self,
        group: GroupId,
        replica: &ReplicaDescriptor,
        key_generation: u32,
    ) -> Option<(ReplicaId, ReadinessReply)> {
        let mut peer = self.peer(replica).ok()?;
        let question = peer.readiness(ReadinessRequest { group: group.0, key_generation });
        let patience = if key_generation == 0 { PATIENCE } else { PATIENCE * 5 };
        let answer = tokio::time::timeout(patience, question).await.ok()?;
        Some((replica.replica, answer.ok()?.into_inner()))
    }

    fn put_off(&self, group: GroupId) -> BTreeSet<ReplicaId> {
        let memory = self.memory();
        let of_group = memory.put_off.iter().filter(|((of, _), put_off)| *of == group && !put_off.is_due());
        of_group.map(|((_, replica), _)| *replica).collect()
    }
}

fn change(status: &GroupStatus) -> Change {
    if status.membership.joint {
        Change::Joint
    } else if status.committed < status.membership.index {
        Change::Pending
    } else {
        Change::Done
    }
}
