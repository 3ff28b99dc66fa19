//! Taking a step.

use std::{collections::BTreeSet, time::Duration};

use holdfast_consensus::Group;
use holdfast_domain::{BanSubject, GroupId, ReplicaDescriptor, ReplicaId};
use holdfast_proto::registry::v1::ReplicaReport;

use super::{Runtime, StepError, plan::Step, replica::member_of, report::report};
use crate::custody::{self, Newcomer};

/// How long a voter may take to lead.
const LEAD_PATIENCE: Duration = Duration::from_secs(5);

/// How long a stopping node waits for its successors.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

impl Step {
    /// Whether it changes the map.
    pub(super) const fn is_report(self) -> bool {
        matches!(self, Self::Found | Self::ReportLost | Self::ReportPromoted(_) | Self::ReportRemoved(_))
    }

    /// The other replica that a step is about.
    pub(super) const fn about(self) -> Option<ReplicaId> {
        match self {
            Self::Rest | Self::Found | Self::Join | Self::Resume | Self::ReportLost | Self::FinishChange => {
                None
            }
            Self::Admit(id)
            | Self::Promote(id)
            | Self::ReportPromoted(id)
            | Self::Remove(id)
            | Self::ReportRemoved(id)
            | Self::TransferLead(id) => Some(id),
        }
    }
}

impl Runtime {
    /// Takes a step as replica `own`.
    pub(super) async fn take(&self, step: Step, at: (GroupId, ReplicaId)) -> Result<(), StepError> {
        let (group, own) = at;
        tracing::info!(%group, replica = %own, ?step, "step");
        match step {
            Step::Rest => Ok(()),
            Step::Found => self.found(group, own).await,
            Step::Join => self.join(group, own).await,
            Step::Resume => self.resume_one(group, own).await,
            Step::ReportLost => report(self, at, ReplicaReport::Lost, 0).await,
            // Adding nobody ends the change that is under way.
            Step::FinishChange => Ok(self.raft(group)?.promote(BTreeSet::new()).await?),
            Step::Admit(id) => self.admit(group, id).await,
            Step::Promote(id) => {
                // Minutes may have passed since it was checked.
                self.check_standing(&self.listed(group, id)?)?;
                Ok(self.raft(group)?.promote(BTreeSet::from([id])).await?)
            }
            Step::ReportPromoted(id) => {
                let told = report(self, at, ReplicaReport::Promoted, id.0).await;
                if told.is_err() {
                    // It may be for want of a wrap: of a key that was made meanwhile, or by a leader whose wraps never arrived.
                    self.wrap(group, &self.listed(group, id)?).await?;
                }
                told
            }
            Step::Remove(id) => Ok(self.raft(group)?.remove(BTreeSet::from([id])).await?),
            Step::ReportRemoved(id) => report(self, at, ReplicaReport::Removed, id.0).await,
            Step::TransferLead(id) => Ok(self.raft(group)?.transfer_leader(id, LEAD_PATIENCE).await?),
        }
    }

    /// Hands the lead of all groups over, before this node stops.
    pub async fn hand_over_leads(&self) {
        let groups = self.hosted.all();
        futures::future::join_all(groups.iter().map(|shard| shard.raft().step_aside(STOP_PATIENCE))).await;
    }

    /// Ends every wait for a key: the node stops.
    pub fn close_keys(&self) {
        self.hosted.all().iter().for_each(|shard| shard.state().keys().close());
    }

    pub(super) fn raft(&self, group: GroupId) -> Result<Group, StepError> {
        self.consensus.get(group).ok_or(StepError::NotInMap("a running replica"))
    }

    /// A newcomer gets the key after its machine was checked, and the log after it got the key.
    async fn admit(&self, group: GroupId, id: ReplicaId) -> Result<(), StepError> {
        let newcomer = self.listed(group, id)?;
        self.settle_keys(&*self.hosted.get(group).ok_or(StepError::NotInMap("a running replica"))?).await?;
        self.wrap(group, &newcomer).await?;
        Ok(self.raft(group)?.add_learner(id, member_of(&newcomer)).await?)
    }

    /// Checks a replica's machine and wraps the group's keys to it.
    pub(super) async fn wrap(&self, group: GroupId, to: &ReplicaDescriptor) -> Result<(), StepError> {
        self.check_standing(to)?;
        let shard = self.hosted.get(group).ok_or(StepError::NotInMap("a running replica"))?;
        let newcomer = Newcomer::check(&self.keeper, to.node).await?;
        let approvals = self.view.borrow().approvals.clone();
        Ok(custody::wrap_to(&self.keeper, &newcomer, shard.state().keys(), &approvals).await?)
    }

    pub(super) fn check_standing(&self, replica: &ReplicaDescriptor) -> Result<(), StepError> {
        let banned = self.view.borrow().bans.contains(&BanSubject::Node(replica.node));
        if banned { Err(StepError::Banned(replica.node)) } else { Ok(()) }
    }
}
