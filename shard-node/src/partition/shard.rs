//! A running replica of a group with its data.
//!
//! Writers of one slot decide one after the other in its [lane](super::lane). What a dropped or timed-out writer left in the log may
//! still overtake the next: then `apply` refuses and the decision is made again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use holdfast_consensus::{Group, Pace, Pending};
use holdfast_domain::{GroupDescriptor, GroupId, Reason, ReplicaId, Slot};
use holdfast_store::SegmentStore;
use holdfast_sys_core::{clock::Clock, errors::Refusal};

use super::{
    doubt::Doubt,
    homes::HomeCache,
    lane::{Lane, Writer},
    refusals,
    room::Room,
};
use crate::{
    content::{Holes, Others, StagedFiles},
    limits::{COMMIT_PATIENCE, LEADER_PATIENCE, READ_PATIENCE, SLOTS_AT_ONCE},
    machine::{Command, GroupState, Outcome, SlotEpoch},
};

/// A running replica of a group with its data.
pub struct ShardGroup {
    /// For jobs on other threads.
    me: Weak<Self>,
    raft: Group,
    state: Arc<GroupState>,
    segments: Arc<SegmentStore>,
    clock: Clock,
    /// One a slot at most.
    lanes: Mutex<BTreeMap<Slot, Arc<Lane>>>,
    /// Jobs on the engine.
    pace: Pace,
    pub(super) room: Room,
    pub(super) homes: HomeCache,
    pub(crate) staged: StagedFiles,
    pub(crate) holes: Holes,
    pub(crate) others: Others,
    pub(crate) doubt: Doubt,
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
            lanes: Mutex::default(),
            pace: Pace::default(),
            room: Room::default(),
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
                if reader.slot(slot)?.is_none() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether the slot takes commands here. Blocks.
    pub(super) fn serves(&self, slot: Slot) -> Result<bool, Refusal> {
        let row = self.state.read().slot(slot)?;
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
        if self.leads() {
            return Ok(());
        }
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
        let elsewhere = self.raft.leader().filter(|leader| leader.replica != self.replica());
        match elsewhere.and_then(|leader| leader.node) {
            Some(node) => Refusal::not_leader(node),
            None => Refusal::new(Reason::NoQuorum).because("nobody is known to lead"),
        }
    }

    /// Whether this replica has everything that was committed this long ago.
    pub(crate) fn is_fresh(&self, within: Duration) -> bool {
        self.raft.fresh_within(within).is_ok()
    }

    /// Commits a command that was decided in `term`.
    pub(crate) async fn propose(&self, term: u64, command: &Command) -> Result<Outcome, Refusal> {
        outcome(self.submit(term, command)?).await
    }

    /// The same in two steps: commands get into the log in the order of these calls, and their outcomes are waited for later.
    pub(crate) fn begin(
        &self,
        term: u64,
        command: &Command,
    ) -> Result<impl Future<Output = Result<Outcome, Refusal>> + use<>, Refusal> {
        Ok(outcome(self.submit(term, command)?))
    }

    /// Hands a command that was decided in `term` to the log: commands get there in the order of these calls.
    pub(super) fn submit(&self, term: u64, command: &Command) -> Result<Pending, Refusal> {
        let bytes = command.encode().map_err(|error| refusals::because(Reason::Malformed, &error))?;
        self.raft.submit_in_term(term, bytes).map_err(refusals::propose)
    }

    /// Makes the following reads linearizable.
    pub(crate) async fn confirm(&self) -> Result<(), Refusal> {
        let confirmed = tokio::time::timeout(READ_PATIENCE, self.raft.read_index()).await;
        confirmed.map_err(|_| no_majority())?.map(drop).map_err(refusals::read)
    }

    /// Where a slot's commands are decided.
    pub(super) fn lane(&self, slot: Slot) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(slot).or_default())
    }

    /// Waits for the right to decide for a slot with nothing on its way.
    pub(crate) async fn writer(&self, slot: Slot) -> Writer {
        self.lane(slot).alone().await
    }

    /// Runs what takes microseconds, unless the engine must wait for the disk.
    pub(super) async fn quick<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let watched = |shard: &Self| shard.pace.watch(|| job(shard));
        if self.pace.is_quick() { watched(self) } else { self.blocking(watched).await }
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

/// What became of a command.
pub(super) async fn outcome(pending: Pending) -> Result<Outcome, Refusal> {
    // Given up on here, it may still be applied later: the command's id tells the next try.
    let applied = tokio::time::timeout(COMMIT_PATIENCE, pending.applied()).await;
    let applied = applied.map_err(|_| no_majority())?.map_err(refusals::propose)?;
    Outcome::decode(&applied.result).map_err(refusals::codec)
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
