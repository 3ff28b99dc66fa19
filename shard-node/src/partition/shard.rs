//! A running replica of a group with its data.
//!
//! Writers of one slot take turns, so that every decision sees all earlier writes and versions are drawn in order. What a
//! dropped or timed-out writer left in the log may still overtake the next: then `apply` refuses and the decision is made again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use holdfast_consensus::Group;
use holdfast_domain::{GroupDescriptor, GroupId, Reason, ReplicaId, Slot};
use holdfast_store::SegmentStore;
use holdfast_sys_core::{clock::Clock, errors::Refusal};
use tokio::sync::OwnedMutexGuard;

use super::{doubt::Doubt, homes::HomeCache, refusals};
use crate::{
    content::{Holes, Others, StagedFiles},
    limits::{COMMIT_PATIENCE, LEADER_PATIENCE, READ_PATIENCE, SLOTS_AT_ONCE},
    machine::{Command, GroupState, Outcome, SlotEpoch, SlotRow, slot_key},
};

/// A running replica of a group with its data.
pub struct ShardGroup {
    /// For jobs on other threads.
    me: Weak<Self>,
    raft: Group,
    state: Arc<GroupState>,
    segments: Arc<SegmentStore>,
    clock: Clock,
    writers: Mutex<BTreeMap<Slot, Arc<tokio::sync::Mutex<()>>>>,
    pub(super) homes: HomeCache,
    pub(crate) staged: StagedFiles,
    pub(crate) holes: Holes,
    pub(crate) others: Others,
    pub(crate) doubt: Doubt,
}

/// The right to decide for a slot.
pub(crate) struct Writer {
    _turn: OwnedMutexGuard<()>,
}

impl ShardGroup {
    /// Over a consensus group that was started with `state.machine()`. One segment store belongs to one group.
    pub fn open(raft: Group, state: Arc<GroupState>, segments: Arc<SegmentStore>, clock: Clock) -> Arc<Self> {
        let (homes, staged, holes) = (HomeCache::default(), StagedFiles::default(), Holes::default());
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            raft,
            state,
            segments,
            clock,
            writers: Mutex::default(),
            homes,
            staged,
            holes,
            others: Others::default(),
            doubt: Doubt::default(),
        })
    }

    /// The group.
    pub fn id(&self) -> GroupId {
        self.raft.id()
    }

    /// This replica.
    pub fn replica(&self) -> ReplicaId {
        self.raft.replica()
    }

    /// Its consensus side.
    pub const fn raft(&self) -> &Group {
        &self.raft
    }

    /// Its replicated state.
    pub const fn state(&self) -> &Arc<GroupState> {
        &self.state
    }

    /// Its chunks.
    pub const fn segments(&self) -> &Arc<SegmentStore> {
        &self.segments
    }

    /// Whether this replica leads and may decide.
    pub fn leads(&self) -> bool {
        self.raft.leading_term().is_some()
    }

    /// Activates slots of the descriptor that this group never had. For the leader; can be repeated.
    ///
    /// # Errors
    /// `NoQuorum` and the like.
    pub async fn ensure_slots(&self, descriptor: &GroupDescriptor) -> Result<(), Refusal> {
        let ranges = descriptor.slots.clone();
        let missing = self.blocking({
            let ranges = ranges.clone();
            move |shard| shard.lacks_slots(&ranges)
        });
        if !missing.await? {
            return Ok(());
        }
        let term = self.term()?;
        for piece in pieces(&ranges) {
            let command = Command::ActivateSlots { ranges: vec![piece], epoch: SlotEpoch::FIRST };
            match self.propose(term, &command).await? {
                Outcome::Applied => {}
                other => {
                    let detail = format!("activation answered {other:?}");
                    return Err(Refusal::new(Reason::Internal).because(detail));
                }
            }
        }
        Ok(())
    }

    fn lacks_slots(&self, ranges: &[(Slot, Slot)]) -> Result<bool, Refusal> {
        let reader = self.state.read();
        for (first, last) in ranges {
            for slot in (first.number()..=last.number()).filter_map(|number| Slot::try_from(number).ok()) {
                if reader.get::<SlotRow>(&slot_key(slot))?.is_none() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the slot takes commands here. Blocks.
    pub(super) fn serves(&self, slot: Slot) -> Result<bool, Refusal> {
        let row = self.state.read().get::<SlotRow>(&slot_key(slot))?;
        Ok(row.is_some_and(|row| row.serves(row.epoch)))
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The term to decide in.
    pub(crate) fn term(&self) -> Result<u64, Refusal> {
        self.raft.leading_term().ok_or_else(|| self.not_leading())
    }

    /// Waits a moment where nobody leads, or this replica is about to.
    ///
    /// # Errors
    /// `NotLeader` with the one that leads, or `NoQuorum`.
    pub(crate) async fn lead(&self) -> Result<(), Refusal> {
        let mut status = self.raft.watch();
        let settled = async {
            loop {
                let leader = status.borrow_and_update().leader;
                let elsewhere = leader.is_some_and(|leader| leader != self.replica());
                if elsewhere || self.leads() || status.changed().await.is_err() {
                    return;
                }
            }
        };
        // Out of patience or not, the state of now is the answer.
        let _ = tokio::time::timeout(LEADER_PATIENCE, settled).await;
        self.term().map(drop)
    }

    /// What a caller is told who wants what only the leader has.
    pub(crate) fn not_leading(&self) -> Refusal {
        let status = self.raft.status();
        let elsewhere = status.leader.filter(|leader| *leader != self.replica());
        match elsewhere.and_then(|leader| status.membership.members.get(&leader)) {
            Some(leader) => Refusal::not_leader(leader.node),
            None => Refusal::new(Reason::NoQuorum).because("nobody is known to lead"),
        }
    }

    /// Whether this replica has everything that was committed this long ago.
    pub(crate) fn is_fresh(&self, _within: Duration) -> bool {
        false
    }

    /// Commits a command that was decided in `term`.
    pub(crate) async fn propose(&self, term: u64, command: &Command) -> Result<Outcome, Refusal> {
        let bytes = command.encode().map_err(|error| refusals::because(Reason::Malformed, &error))?;
        // Given up on here, it may still be applied later: the command's id tells the next try.
        let applied = tokio::time::timeout(COMMIT_PATIENCE, self.raft.propose_in_term(term, bytes)).await;
        let applied = applied.map_err(|_| no_majority())?.map_err(refusals::propose)?;
        Outcome::decode(&applied.result).map_err(refusals::codec)
    }

    /// Makes the following reads linearizable.
    pub(crate) async fn confirm(&self) -> Result<(), Refusal> {
        let confirmed = tokio::time::timeout(READ_PATIENCE, self.raft.read_index()).await;
        confirmed.map_err(|_| no_majority())?.map(drop).map_err(refusals::read)
    }

    /// Waits for the right to decide for a slot.
    pub(crate) async fn writer(&self, slot: Slot) -> Writer {
        let turn = {
            let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(writers.entry(slot).or_default())
        };
        Writer { _turn: turn.lock_owned().await }
    }

    /// Runs what blocks on the disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let Some(shard) = self.me.upgrade() else { return Err(Refusal::new(Reason::NotReady)) };
        match tokio::task::spawn_blocking(move || job(&shard)).await {
            Ok(result) => result,
            Err(error) => Err(refusals::because(Reason::Internal, &error)),
        }
    }
}

fn no_majority() -> Refusal {
    Refusal::new(Reason::NoQuorum).because("no majority answered in time")
}

/// Ranges of slots, cut so that each makes a batch of bounded size.
fn pieces(ranges: &[(Slot, Slot)]) -> impl Iterator<Item = (Slot, Slot)> {
    ranges.iter().flat_map(|(first, last)| {
        let (first, last) = (first.number(), last.number());
        (first..=last).step_by(SLOTS_AT_ONCE.into()).filter_map(move |start| {
            let end = start.saturating_add(SLOTS_AT_ONCE - 1).min(last);
            Some((Slot::try_from(start).ok()?, Slot::try_from(end).ok()?))
        })
    })
}
