//! The leader's duty: the group's membership follows the replicated state. Everyone runs this; it acts on the leader only.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use holdfast_consensus::{MembershipError, MembershipView, Pin, WaitError};
use holdfast_domain::ReplicaId;
use holdfast_registry_state::Act;
use holdfast_sys_core::Refusal;
use tokio::time::MissedTickBehavior;

use super::Voter;
use super::step::{Step, next};
use crate::limits::DUTY_INTERVAL;

/// Entries that a learner may lack when it gets its vote: what is replicated in a moment.
const PROMOTION_LAG: u64 = 64;
/// How long one round waits for a learner; the next one goes on.
const CATCH_UP: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
enum DutyError {
    #[error("the membership was not changed")]
    Membership(#[from] MembershipError),
    #[error("a learner has not caught up")]
    Learner(#[from] WaitError),
    #[error("the state was not told: {}", .0.reason().code())]
    State(Refusal),
}

impl From<Refusal> for DutyError {
    fn from(refusal: Refusal) -> Self {
        Self::State(refusal)
    }
}

/// Runs for ever.
pub(crate) async fn run(voter: Arc<Voter>) {
    let mut rounds = tokio::time::interval(DUTY_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut changes = voter.core.applied();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        while voter.group.leading_term().is_some() {
            if voter.core.state().is_banned(&voter.core.myself()) {
                tracing::error!("this registry machine is banned: it hands the lead over");
                voter.group.step_aside(CATCH_UP).await;
                break;
            }
            let membership = voter.group.status().membership;
            let own = voter.group.replica();
            let Some(step) = next_step(&voter, &membership, own) else { break };
            match take(&voter, &step).await {
                Ok(()) => tracing::info!(?step, "membership follows the state"),
                Err(error) => {
                    tracing::debug!(?step, %error, "membership step not taken yet");
                    break;
                }
            }
        }
    }
}

fn next_step(voter: &Voter, membership: &MembershipView, own: ReplicaId) -> Option<Step> {
    next(&voter.core.state(), membership, own)
}

async fn take(voter: &Voter, step: &Step) -> Result<(), DutyError> {
    let (group, core) = (&voter.group, &voter.core);
    match step.clone() {
        Step::Remove(replica) => group.remove([replica].into()).await?,
        Step::Add(replica, member) => group.add_learner(replica, member).await?,
        Step::Update(replica, member) => {
            group.update_members(BTreeMap::from([(replica, member)])).await?;
        }
        Step::Row(replica, member) => {
            let Pin::Key(spki) = member.pin else { return Ok(()) };
            let act = Act::VoterAdded { node: member.node, replica, address: member.address, spki };
            core.propose(core.myself(), act).await?;
        }
        Step::Promote(replica, node) => {
            group.wait_caught_up(replica, PROMOTION_LAG, CATCH_UP).await?;
            group.promote([replica].into()).await?;
            core.propose(core.myself(), Act::VoterPromoted(node)).await?;
        }
        Step::Votes(node) => drop(core.propose(core.myself(), Act::VoterPromoted(node)).await?),
        Step::Gone(node) => drop(core.propose(core.myself(), Act::VoterRemoved(node)).await?),
    }
    Ok(())
}
