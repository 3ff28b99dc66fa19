//! The giving side of a move: check the newcomer, wrap the key to it, bring it up to date, give it a vote and the lead.

use std::{collections::BTreeSet, time::Duration};

use holdfast_certs::ExpectedServer;
use holdfast_consensus::{Member, Pin};
use holdfast_domain::{BanSubject, GroupId, Reason};
use holdfast_enrol::watch::{Target, Task};
use holdfast_proto::{
    node::v1::{ReadinessReply, ReadinessRequest, peer_client::PeerClient},
    registry::v1::ReplicaReport,
};
use holdfast_sys_core::Refusal;

use super::{Runtime, StepError, report::report};
use crate::{
    custody::{self, Newcomer},
    partition::ShardGroup,
};

/// Pause between two questions to the target.
const POLL: Duration = Duration::from_millis(100);
/// How long the target may take to lead once it votes; the step is tried again after that.
const LEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Questions before the step is given up, to be tried again: two minutes of a target that makes no progress.
const MAX_POLLS: u32 = 1200;

impl Runtime {
    pub(super) async fn hand_over(&self, group: GroupId, target: &Target) -> Result<(), StepError> {
        let own = self.own_replica(&self.descriptor(group)?)?;
        if let Some(shard) = self.hosted.get(group) {
            self.give(&shard, target).await?;
            // From here on this replica is no member: callers are sent to the new one. Chunks are still given.
            self.hosted.remove(group);
            self.retired(|retiring| retiring.insert(group, shard));
        }
        self.until_ready(group, target, |said| said.alone && said.missing_chunks == 0).await?;
        report(self, group, own.replica, ReplicaReport::HandedOver).await
    }

    /// Gives a move up, or finishes it when the target votes already. Only this replica makes the target a voter, and does one step at a
    /// time: what it finds here stays so.
    pub(super) async fn withdraw(&self, group: GroupId, target: &Target) -> Result<(), StepError> {
        let own = self.own_replica(&self.descriptor(group)?)?;
        let Some(shard) = self.hosted.get(group) else { return self.hand_over(group, target).await };
        let raft = shard.raft();
        let membership = raft.status().membership;
        if membership.voters != BTreeSet::from([own.replica]) {
            return self.hand_over(group, target).await;
        }
        if membership.members.contains_key(&target.replica) {
            raft.remove(BTreeSet::from([target.replica])).await?;
        }
        report(self, group, own.replica, ReplicaReport::Withdrawn).await
    }

    /// Until the target is the group's only member. The vote is given here, the rest is done by the target when it leads: a leader does not
    /// vote itself out.
    async fn give(&self, shard: &ShardGroup, target: &Target) -> Result<(), StepError> {
        let group = shard.id();
        let raft = shard.raft();
        if !raft.status().membership.voters.contains(&target.replica) {
            self.give_vote(shard, target).await?;
        }
        if raft.status().leads() {
            raft.transfer_leader(target.replica, LEAD_PATIENCE).await?;
        }
        self.until_ready(group, target, |said| said.alone).await?;
        tracing::info!(%group, to = %target.node, "group handed over");
        Ok(())
    }

    async fn give_vote(&self, shard: &ShardGroup, target: &Target) -> Result<(), StepError> {
        let group = shard.id();
        let raft = shard.raft();
        self.check_wanted(group, target)?;
        let newcomer = Newcomer::check(&self.keeper, target.node).await?;
        let dmk = custody::open(&self.keeper.member, group).await?;
        let approvals = self.view.borrow().approvals.clone();
        custody::wrap_to(&self.keeper, &newcomer, group, &dmk, &approvals).await?;
        let member = Member { node: target.node, address: target.address.clone(), pin: Pin::Certificate };
        if !raft.status().membership.members.contains_key(&target.replica) {
            raft.add_learner(target.replica, member).await?;
        }
        let applied = raft.status().applied.unwrap_or_default();
        self.until_ready(group, target, |said| said.applied_index >= applied && said.missing_chunks == 0)
            .await?;
        // Minutes may have passed, and a target that was told to delete must not become a voter.
        self.check_wanted(group, target)?;
        raft.promote(BTreeSet::from([target.replica])).await?;
        Ok(())
    }

    /// Whether the newest view still wants this move, and its target in good standing.
    fn check_wanted(&self, group: GroupId, target: &Target) -> Result<(), StepError> {
        let view = self.view.borrow();
        let wanted = view.tasks.contains(&(group, Task::HandOver(target.clone())));
        if wanted && !view.bans.contains(&BanSubject::Node(target.node)) {
            Ok(())
        } else {
            Err(StepError::NotWanted(group))
        }
    }

    /// Until the target's answer is as wanted. A target that has not started its replica yet is waited for.
    async fn until_ready(
        &self,
        group: GroupId,
        target: &Target,
        wanted: impl Fn(&ReadinessReply) -> bool,
    ) -> Result<(), StepError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StepError::Peer(target.node, source);
        let server = ExpectedServer::Node(target.node);
        let channel = self.peers.channel(&target.address, server).map_err(|error| failed(error.into()))?;
        let mut peer = PeerClient::new(channel);
        for _ in 0..MAX_POLLS {
            match peer.readiness(ReadinessRequest { group: group.0 }).await {
                Ok(said) if wanted(said.get_ref()) => return Ok(()),
                Ok(_) => {}
                Err(status) if is_not_ready(&status) => {}
                Err(status) => return Err(failed(status.into())),
            }
            tokio::time::sleep(POLL).await;
        }
        Err(StepError::NotInMap("a target that has caught up"))
    }
}

fn is_not_ready(status: &tonic::Status) -> bool {
    Refusal::from_status(status).is_ok_and(|refusal| refusal.reason() == Reason::NotReady)
}
