//! The loop that does what groups led by this node do next about moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use holdfast_domain::{GroupId, MapEpoch, NodeId, Slot, SlotMove};
use holdfast_keys::TransferSecret;
use holdfast_proto::registry::v1::ReplicaReport;

use super::{
    TransferError,
    key::Binding,
    plan::{Known, Step, next_step},
};
use crate::{
    groups::{Runtime, report},
    machine::{Command, IncomingRow, LastMoves, MoveCommand, Outcome, SlotStatus, last_moves},
    partition::ShardGroup,
};

/// Groups are looked at this often, also without news.
const LOOK: Duration = Duration::from_millis(250);
/// Pause after a step that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// How moves are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Rows of slots that were handed over are kept this long.
    pub drop_after: Duration,
    /// Bytes of rows a second, before the freeze.
    pub bytes_a_second: u64,
}

/// What moves of this node need; nothing of it need outlive the process.
pub(super) struct Mover {
    pub(super) runtime: Arc<Runtime>,
    pub(super) pace: Pace,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Groups with a step under way.
    running: BTreeSet<GroupId>,
    /// Groups that were found tidy, and the last moves that their rows knew then.
    tidy: BTreeMap<GroupId, LastMoves>,
    /// Since when slots are known to be gone.
    gone: BTreeMap<GroupId, Instant>,
    /// Slots whose partitions do not fit into one command.
    too_large: BTreeSet<(GroupId, Slot)>,
    /// Who led a source when it was asked last.
    leaders: BTreeMap<GroupId, NodeId>,
}

/// Makes moves for ever, for groups that this node leads.
pub async fn keep_moving(runtime: Arc<Runtime>, pace: Pace) {
    let mut view = runtime.view.clone();
    let mover = Arc::new(Mover { runtime, pace, memory: Mutex::default() });
    loop {
        view.mark_unchanged();
        for shard in mover.runtime.hosted.all() {
            if shard.leads() && mover.memory(|memory| memory.running.insert(shard.id())) {
                let mover = Arc::clone(&mover);
                tokio::spawn(async move { mover.attend(&shard).await });
            }
        }
        // A closed watch means that the process ends.
        if let Ok(Err(_)) = tokio::time::timeout(LOOK, view.changed()).await {
            return;
        }
    }
}

impl Mover {
    fn memory<T>(&self, job: impl FnOnce(&mut Memory) -> T) -> T {
        job(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn is_too_large(&self, group: GroupId, slot: Slot) -> bool {
        self.memory(|memory| memory.too_large.contains(&(group, slot)))
    }

    pub(super) fn skip_too_large(&self, group: GroupId, slot: Slot) {
        self.memory(|memory| memory.too_large.insert((group, slot)));
    }

    /// Who led a group when it was asked last.
    pub(super) fn last_leader(&self, group: GroupId) -> Option<NodeId> {
        self.memory(|memory| memory.leaders.get(&group).copied())
    }

    pub(super) fn remember_leader(&self, group: GroupId, node: NodeId) {
        self.memory(|memory| memory.leaders.insert(group, node));
    }

    /// Steps until there is none, or one fails.
    async fn attend(&self, shard: &Arc<ShardGroup>) {
        let group = shard.id();
        loop {
            match self.step(shard).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    let error = holdfast_domain::causes(&error);
                    tracing::warn!(%group, error, "a step of a slot move failed; it will be tried again");
                    tokio::time::sleep(AGAIN).await;
                    break;
                }
            }
        }
        self.memory(|memory| memory.running.remove(&group));
    }

    /// One step; whether another may follow.
    async fn step(&self, shard: &Arc<ShardGroup>) -> Result<bool, TransferError> {
        let group = shard.id();
        if !shard.leads() {
            return Ok(false);
        }
        let known = self.look(shard).await?;
        let view = Arc::clone(&self.runtime.view.borrow());
        let Some(map) = &view.map else { return Ok(false) };
        let step = next_step(group, &map.map, &known);
        match &step {
            Step::Rest => return Ok(false),
            Step::DropLater if !self.is_due(group) => return Ok(false),
            Step::Import(_) => {}
            step => tracing::info!(%group, ?step, "slot move"),
        }
        match step {
            Step::Rest => return Ok(false),
            Step::Prepare(slots) => self.prepare(shard, slots).await?,
            Step::Begin(slots) => {
                self.begin(shard, &slots, incoming(&known)?).await?;
                self.log(shard, "begin", MoveCommand::BeginImport { since: slots.since }).await?;
            }
            Step::Import(slots) => self.import(shard, &slots, incoming(&known)?).await?,
            Step::Abort(slots) => {
                let SlotMove { since, from, .. } = slots;
                self.log(shard, "abort", MoveCommand::AbortImport { since, from }).await?;
            }
            Step::ReportMoved(slots) => {
                let told = self.report(shard, ReplicaReport::SlotsMoved, slots.since).await;
                // The slots serve here, told or not: their keys do not wait for the registry.
                if known.stale_keys {
                    self.rekey(shard).await?;
                }
                told?;
                self.seen_ended(slots.since).await;
            }
            Step::ReportKept(slots) => {
                self.report(shard, ReplicaReport::SlotsKept, slots.since).await?;
                self.seen_ended(slots.since).await;
            }
            Step::Unfreeze(row) => {
                self.log(shard, "unfreeze", MoveCommand::UnfreezeSlots { since: row.since }).await?;
            }
            Step::Part(row) => {
                self.log(shard, "part", MoveCommand::PartWithSlots { since: row.since }).await?;
                self.memory(|memory| memory.gone.insert(group, Instant::now()));
            }
            Step::Rekey => self.rekey(shard).await?,
            Step::DropNow | Step::DropLater => self.tidy_up(shard).await?,
        }
        Ok(true)
    }

    /// Looks at what the state says of moves; at all slots only when something may be left to do.
    async fn look(&self, shard: &Arc<ShardGroup>) -> Result<Known, TransferError> {
        let group = shard.id();
        let tidy = self.memory(|memory| memory.tidy.get(&group).copied());
        let too_large = self.memory(|memory| memory.too_large.clone());
        let (known, moves) = shard
            .blocking(move |shard| {
                let reader = shard.state().read();
                let (outgoing, incoming) = (reader.outgoing()?, reader.get::<IncomingRow>(&[])?);
                let moves = last_moves(outgoing.as_ref(), incoming.as_ref());
                let (mut stale_keys, mut leftovers) = (false, false);
                if moves != [None, None] && tidy != Some(moves) {
                    let stale = reader.slots_with(|row| row.stale_key && row.serves(row.epoch))?;
                    stale_keys = stale.into_iter().any(|slot| !too_large.contains(&(group, slot)));
                    leftovers = !reader.slots_with(|row| row.status == SlotStatus::Gone)?.is_empty()
                        || !reader.leftovers()?.is_empty();
                }
                Ok((Known { outgoing, incoming, stale_keys, leftovers }, moves))
            })
            .await?;
        if !known.stale_keys && !known.leftovers {
            self.memory(|memory| memory.tidy.insert(group, moves));
        }
        Ok(known)
    }

    async fn prepare(&self, shard: &Arc<ShardGroup>, slots: SlotMove) -> Result<(), TransferError> {
        let SlotMove { since, from, ref slots, give_up: _, to: _ } = slots;
        let binding = self.binding(shard, since, from);
        let secret = TransferSecret::generate()?;
        let (generation, sealed) = binding.seal(shard.state().keys(), &secret)?;
        let (slots, public) = (slots.clone(), secret.public().0);
        let command = MoveCommand::PutTransferKey { since, from, slots, generation, sealed, public };
        self.log(shard, "prepare", command).await
    }

    /// A move into a group of ours, as far as keys are bound to it.
    pub(super) fn binding(&self, shard: &ShardGroup, since: MapEpoch, from: GroupId) -> Binding {
        Binding { cluster: shard.state().keys().cluster(), since, from, to: shard.id() }
    }

    /// Puts a step into the group's log.
    pub(super) async fn log(
        &self,
        shard: &Arc<ShardGroup>,
        step: &'static str,
        command: MoveCommand,
    ) -> Result<(), TransferError> {
        match shard.propose(shard.term()?, &Command::Move(command)).await? {
            Outcome::Applied => Ok(()),
            outcome => Err(TransferError::Log { group: shard.id(), step, outcome }),
        }
    }

    async fn report(
        &self,
        shard: &ShardGroup,
        what: ReplicaReport,
        since: MapEpoch,
    ) -> Result<(), TransferError> {
        Ok(report(&self.runtime, (shard.id(), shard.replica()), what, since.0).await?)
    }

    /// Waits a moment for the map that shows what was reported, so that it is not reported again at once.
    async fn seen_ended(&self, since: MapEpoch) {
        let mut view = self.runtime.view.clone();
        let ended = view.wait_for(|view| {
            view.map.as_ref().is_none_or(|map| map.map.moves.iter().all(|of| of.since != since))
        });
        drop(tokio::time::timeout(AGAIN, ended).await);
    }

    fn is_due(&self, group: GroupId) -> bool {
        let since = self.memory(|memory| *memory.gone.entry(group).or_insert_with(Instant::now));
        since.elapsed() >= self.pace.drop_after
    }

    /// Drops rows that nobody needs, a bounded number a command, and marks their slots as left.
    async fn tidy_up(&self, shard: &Arc<ShardGroup>) -> Result<(), TransferError> {
        let (gone, moves) = shard
            .blocking(|shard| {
                let reader = shard.state().read();
                let (outgoing, incoming) = (reader.outgoing()?, reader.get::<IncomingRow>(&[])?);
                let gone = reader.slots_with(|row| row.status == SlotStatus::Gone)?;
                Ok((gone, last_moves(outgoing.as_ref(), incoming.as_ref())))
            })
            .await?;
        loop {
            let rows = shard.blocking(|shard| Ok(shard.state().read().leftovers()?)).await?;
            if rows.is_empty() {
                break;
            }
            self.log(shard, "drop", MoveCommand::DropRows { rows }).await?;
        }
        let slots: Vec<_> = gone.into_iter().map(|slot| (slot, slot)).collect();
        if !slots.is_empty() {
            self.log(shard, "forget", MoveCommand::ForgetSlots { slots, moves }).await?;
        }
        self.memory(|memory| memory.gone.remove(&shard.id()));
        Ok(())
    }
}

fn incoming(known: &Known) -> Result<&IncomingRow, TransferError> {
    // The plan never asks for it otherwise.
    known.incoming.as_ref().ok_or(TransferError::Interrupted)
}
