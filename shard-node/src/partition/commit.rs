//! Committing: decide, propose, and decide again when overtaken.

use std::sync::Arc;

use holdfast_domain::Reason;
use holdfast_sys_core::{errors::Refusal, module::CommitOutcome};

use super::{
    ShardGroup,
    decide::{Decision, Started, Wanted},
    homes::HomeRef,
    shard::outcome,
};
use crate::{
    limits::COMMIT_TRIES,
    machine::{Batch, Command, Outcome},
};

impl ShardGroup {
    pub(super) async fn commit(&self, at: HomeRef, wanted: Wanted) -> Result<CommitOutcome, Refusal> {
        wanted.check()?;
        self.spread_uploads(&at, &wanted.ops).await?;
        let wanted = Arc::new(wanted);
        if wanted.is_of_records() {
            self.commit_among_others(at, wanted).await
        } else {
            self.commit_alone(at, wanted).await
        }
    }

    /// Many of these are on their way at once.
    async fn commit_among_others(&self, at: HomeRef, wanted: Arc<Wanted>) -> Result<CommitOutcome, Refusal> {
        let lane = self.lane(at.slot);
        for _ in 0..=COMMIT_TRIES {
            let term = self.term()?;
            let among = lane.among().await;
            let started = {
                let wanted = Arc::clone(&wanted);
                self.quick(move |shard| shard.start(term, &at, &wanted)).await?
            };
            match started {
                Started::Over(outcome) => return Ok(outcome),
                // It ended without a word: what became of it is in the state.
                Started::Same(ended) => drop(ended.await),
                Started::NoKeyring => {
                    drop(among);
                    let _writer = self.writer(at.slot).await;
                    self.ensure_home(term, at).await?;
                }
                Started::Running(flight, pending) => {
                    let outcome = outcome(pending).await?;
                    if outcome == Outcome::Applied {
                        flight.applied();
                        return Ok(CommitOutcome::Applied);
                    }
                    drop(flight);
                    if let Verdict::Final(outcome) = verdict(outcome)? {
                        return Ok(outcome);
                    }
                }
            }
        }
        Err(Refusal::new(Reason::Conflict).because("overtaken too often"))
    }

    async fn commit_alone(&self, at: HomeRef, wanted: Arc<Wanted>) -> Result<CommitOutcome, Refusal> {
        let _writer = self.writer(at.slot).await;
        for _ in 0..COMMIT_TRIES {
            let term = self.term()?;
            self.ensure_home(term, at).await?;
            let decision = {
                let wanted = Arc::clone(&wanted);
                self.blocking(move |shard| shard.decide(&at, &wanted)).await?
            };
            let (ahead, last) = match decision {
                Decision::Duplicate => return Ok(CommitOutcome::Duplicate),
                Decision::Conflict => return Ok(CommitOutcome::Conflict),
                Decision::Propose { ahead, last } => (ahead, last),
            };
            if !self.prepare(term, ahead).await? {
                continue;
            }
            let files = changed_files(&last);
            match verdict(self.propose(term, &Command::Batch(last)).await?)? {
                Verdict::Final(CommitOutcome::Applied) => {
                    self.settle_chunks(files).await;
                    return Ok(CommitOutcome::Applied);
                }
                Verdict::Final(outcome) => return Ok(outcome),
                Verdict::DecideAgain => {}
            }
        }
        Err(Refusal::new(Reason::Conflict).because("overtaken too often"))
    }

    /// Commits what prepares a command; whether all of it was applied.
    async fn prepare(&self, term: u64, ahead: Vec<Batch>) -> Result<bool, Refusal> {
        for batch in ahead {
            match verdict(self.propose(term, &Command::Batch(batch)).await?)? {
                Verdict::Final(_) => {}
                Verdict::DecideAgain => return Ok(false),
            }
        }
        Ok(true)
    }
}

enum Verdict {
    Final(CommitOutcome),
    DecideAgain,
}

fn verdict(outcome: Outcome) -> Result<Verdict, Refusal> {
    match outcome {
        Outcome::Applied => Ok(Verdict::Final(CommitOutcome::Applied)),
        Outcome::Duplicate => Ok(Verdict::Final(CommitOutcome::Duplicate)),
        Outcome::Conflict | Outcome::StalePolicy | Outcome::RetiredGeneration => Ok(Verdict::DecideAgain),
        Outcome::WrongSlot => Err(Refusal::new(Reason::WrongGroup).because("the slot moved")),
        Outcome::Malformed | Outcome::Differs => {
            Err(Refusal::new(Reason::Internal).because("the machine refused the frame"))
        }
    }
}

/// Files whose chunks have a new fate once the batch is applied.
fn changed_files(batch: &Batch) -> Vec<crate::content::Fate> {
    batch.ops.iter().filter_map(crate::content::Fate::of).collect::<Vec<_>>()
}
