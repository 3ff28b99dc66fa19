//! A change of a home: read the usage, plan, commit all of it at once, and again when somebody was faster.

use holdfast_domain::{CommandId, Reason};
use holdfast_sys_core::{
    Refusal,
    module::{CommitOutcome, Op, Partition, Precondition, ToChange},
};

use crate::{
    homes::Home,
    limits::{MAX_TRIES, RETRY_PAUSE},
    usage::Usage,
};

/// A change that can be planned over again.
pub(crate) trait Change: Sync {
    /// What the caller is told.
    type Reply: Send;

    /// Plans the change from what is stored now, and counts it in `usage`. Reads only.
    fn plan(
        &self,
        partition: &dyn Partition,
        usage: &mut Usage,
    ) -> impl Future<Output = Result<Plan<Self::Reply>, Refusal>> + Send;

    /// What the caller is told when an earlier try of the same command was applied.
    fn applied_before(
        &self,
        partition: &dyn Partition,
    ) -> impl Future<Output = Result<Self::Reply, Refusal>> + Send;
}

/// What a change comes to.
pub(crate) enum Plan<Reply> {
    /// Commit this, and the usage with it.
    Commit { preconditions: Vec<Precondition>, ops: Vec<Op>, reply: Reply },
    /// It is there already.
    Nothing(Reply),
}

/// A change of the usage with it.
async fn planned<C: Change>(partition: &dyn Partition, change: &C) -> Result<Plan<C::Reply>, Refusal> {
    let (mut usage, unchanged) = Usage::read(partition).await?;
    let mut plan = change.plan(partition, &mut usage).await?;
    if let Plan::Commit { preconditions, ops, .. } = &mut plan {
        preconditions.push(unchanged);
        ops.push(usage.put()?);
    }
    Ok(plan)
}

/// Makes a change.
///
/// # Errors
/// The plan's refusals, the store's, and `Conflict` when others were faster each time.
pub(crate) async fn transact<C: Change>(
    partition: &dyn Partition,
    home: &Home,
    command: CommandId,
    change: &C,
) -> Result<C::Reply, Refusal> {
    let _turn = home.turn.lock().await;
    let mut pause = RETRY_PAUSE;
    for _ in 0..MAX_TRIES {
        let (preconditions, ops, reply) = match planned(&ToChange(partition), change).await {
            Ok(Plan::Commit { preconditions, ops, reply }) => (preconditions, ops, reply),
            // No commit will say whether it was so.
            _ => match planned(partition, change).await? {
                Plan::Commit { preconditions, ops, reply } => (preconditions, ops, reply),
                Plan::Nothing(reply) => return Ok(reply),
            },
        };
        match partition.commit(command, preconditions, ops).await? {
            CommitOutcome::Applied => return Ok(reply),
            CommitOutcome::Duplicate => return change.applied_before(partition).await,
            CommitOutcome::Conflict => tokio::time::sleep(pause).await,
        }
        pause = pause.saturating_mul(2);
    }
    Err(Reason::Conflict.into())
}
