//! The target's side of one stream: pieces go into the log as they come, and are waited for together.
//!
//! A command of a piece is not waited for before the next one is proposed, and the last ones not before the activation: each says where
//! the import must be, and the log keeps their order, so that one that is refused refuses all behind it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{FutureExt as _, future::BoxFuture};
use holdfast_domain::{SlotMove, codec};
use holdfast_keys::TransferSecret;
use holdfast_proto::node::v1::{PullSlotsRequest, ReadinessRequest};
use holdfast_sys_core::Refusal;
use tonic::Status;

use super::{TransferError, drive::Mover, import::too_long, key::Binding, piece::Piece};
use crate::{
    machine::{
        Command, Fence, GroupKeys, MoveCommand, MovedRow, Outcome, Position, Row as _, Table, slot_of,
    },
    partition::ShardGroup,
};

/// How long the source may take to send a piece or to refuse.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Pieces that are in the log and not applied yet.
const IN_FLIGHT: usize = 4;
/// Pause between two looks whether replicas have all chunks, while nobody serves the slots.
const FROZEN_PAUSE: Duration = Duration::from_millis(10);
/// How long replicas may take to fetch chunks before the slots would be frozen; then it is tried again.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);

/// What one stream brought.
pub(super) struct Brought {
    /// Whether manifests came: their chunks may be missing.
    pub(super) files: bool,
    pub(super) fence: Option<Fence>,
    /// After how long the first piece came: with a freeze, when it was in the source's log.
    pub(super) first: Duration,
    /// After how long the last one came.
    pub(super) last: Duration,
}

/// One move into a group that we lead.
pub(super) struct Importing<'a> {
    mover: &'a Mover,
    shard: &'a Arc<ShardGroup>,
    slots: &'a SlotMove,
    binding: Binding,
    secret: Arc<TransferSecret>,
    /// Where the import is when all that is on its way was applied.
    position: Position,
    flight: VecDeque<BoxFuture<'static, Result<Outcome, Refusal>>>,
}

impl<'a> Importing<'a> {
    pub(super) fn new(
        mover: &'a Mover,
        shard: &'a Arc<ShardGroup>,
        slots: &'a SlotMove,
        (binding, secret): (Binding, TransferSecret),
        position: Position,
    ) -> Self {
        let (secret, flight) = (Arc::new(secret), VecDeque::new());
        Self { mover, shard, slots, binding, secret, position, flight }
    }

    /// Whether the map still wants the move.
    pub(super) fn is_wanted(&self) -> bool {
        let view = self.mover.runtime.view.borrow();
        let found =
            view.map.as_ref().and_then(|map| map.map.moves.iter().find(|of| of.since == self.slots.since));
        found.is_some_and(|found| !found.give_up)
    }

    /// Takes over what one stream brings. With a fence, the last rows may still be on their way.
    pub(super) async fn pull(&mut self, freeze: bool) -> Result<Brought, TransferError> {
        let request = PullSlotsRequest {
            group: self.slots.from.0,
            since: self.slots.since.0,
            position: codec::encode(&self.position)?.into(),
            freeze,
        };
        let asked = Instant::now();
        let (mut stream, first) = self
            .mover
            .ask(self.slots, |mut source| {
                let request = request.clone();
                async move {
                    let mut stream = source.pull_slots(request).await?.into_inner();
                    // A refusal may come with the first piece only.
                    let first = stream.message().await?;
                    Ok((stream, first))
                }
            })
            .await?;
        let first_after = asked.elapsed();
        let mut brought = Brought { files: false, fence: None, first: first_after, last: first_after };
        let mut next = first;
        while let Some(message) = next {
            if !self.is_wanted() || !self.shard.leads() {
                break;
            }
            let size = message.piece.len();
            let started = Instant::now();
            let Piece { rows, to, fence } = Piece::decode(&message.piece)?;
            let file_tables = [Table::Files.number(), Table::Pages.number()];
            brought.files |= rows.iter().any(|row| file_tables.contains(&row.table));
            if fence.is_some() {
                (brought.fence, brought.last) = (fence, asked.elapsed());
                return Ok(brought);
            }
            if to == self.position {
                // Nothing changed since. Whatever else the source has to say without a step forward would be said for ever.
                break;
            }
            self.propose(to, rows).await?;
            if !freeze {
                tokio::time::sleep(self.pause_after(size).saturating_sub(started.elapsed())).await;
            }
            let waited =
                tokio::time::timeout(PATIENCE, stream.message()).await.unwrap_or_else(|_| Err(too_long()));
            next = waited.map_err(|status| self.failed(status))?;
        }
        self.settle(0).await?;
        Ok(brought)
    }

    /// Time that a piece of this size takes at the agreed pace.
    fn pause_after(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let micros = bytes.saturating_mul(1_000_000).checked_div(self.mover.pace.bytes_a_second);
        Duration::from_micros(micros.unwrap_or(0))
    }

    fn failed(&self, status: Status) -> TransferError {
        // The source is a group: whichever of its nodes broke off, it is the group that is asked again.
        let source = self.mover.voters_of(self.slots.from).first().map(|replica| replica.node);
        let node = source.unwrap_or(self.mover.runtime.keeper.member.settings().node);
        TransferError::Peer(node, Box::new(status))
    }

    async fn propose(&mut self, to: Position, rows: Vec<MovedRow>) -> Result<(), TransferError> {
        let (binding, secret) = (self.binding, Arc::clone(&self.secret));
        let rows = self
            .shard
            .blocking(move |shard| Ok(take_over(&binding, &secret, shard.state().keys(), rows)))
            .await??;
        let (since, from) = (self.slots.since, self.position.clone());
        let command = MoveCommand::ImportRows { since, from, to: to.clone(), rows };
        let landing = self.shard.begin(self.shard.term()?, &Command::Move(command))?;
        self.flight.push_back(landing.boxed());
        self.position = to;
        self.settle(IN_FLIGHT).await
    }

    /// Waits until no more than so many pieces are on their way.
    async fn settle(&mut self, most: usize) -> Result<(), TransferError> {
        while self.flight.len() > most
            && let Some(landing) = self.flight.pop_front()
        {
            match landing.await? {
                Outcome::Applied => {}
                outcome => {
                    return Err(TransferError::Log { group: self.shard.id(), step: "import", outcome });
                }
            }
        }
        Ok(())
    }

    /// Serves the slots, if what came is what the source froze. With manifests among it, their chunks come first.
    pub(super) async fn activate(&mut self, fence: Fence, files: bool) -> Result<(), TransferError> {
        if files {
            self.settle(0).await?;
            self.until_whole(FROZEN_PAUSE).await?;
        }
        let SlotMove { since, from, .. } = *self.slots;
        let command = Command::Move(MoveCommand::Activate { since, fence });
        let activated = self.shard.begin(self.shard.term()?, &command)?;
        self.settle(0).await?;
        let outcome = activated.await?;
        if outcome == Outcome::Applied {
            return Ok(());
        }
        if outcome == Outcome::Differs {
            // Frozen slots serve nobody: what is damaged on either side must not keep them so.
            tracing::error!(group = %self.shard.id(), %from, "imported slots are not what the source froze; the move is given up");
            self.mover.log(self.shard, "abort", MoveCommand::AbortImport { since, from }).await?;
        }
        Err(TransferError::Log { group: self.shard.id(), step: "activate", outcome })
    }

    /// Until this replica, and enough others, have every chunk that a manifest names.
    pub(super) async fn until_whole(&mut self, pause: Duration) -> Result<(), TransferError> {
        let shard = self.shard;
        let deadline = Instant::now() + CHUNK_PATIENCE;
        let applied = shard.raft().status().applied.unwrap_or_default();
        loop {
            let own = self.mover.runtime.fill(shard).await?;
            if own && self.are_whole(shard, applied).await {
                return Ok(());
            }
            if Instant::now() >= deadline || !shard.leads() {
                return Err(TransferError::Chunks);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether a majority, this replica counted as one that is, lacks nothing as of an entry.
    async fn are_whole(&mut self, shard: &ShardGroup, applied: u64) -> bool {
        let voters = self.mover.voters_of(shard.id());
        let mut whole = 1usize;
        for replica in voters.iter().filter(|replica| replica.replica != shard.replica()) {
            let Ok(mut peer) = self.mover.runtime.peer(replica) else { continue };
            let request = ReadinessRequest { group: shard.id().0, key_generation: 0 };
            let Ok(answer) = peer.readiness(request).await else { continue };
            let answer = answer.get_ref();
            whole += usize::from(answer.applied_index >= applied && answer.missing_chunks == 0);
            if whole > voters.len() / 2 {
                break;
            }
        }
        whole > voters.len() / 2
    }
}

/// Slot keyrings come sealed to the transfer key and are kept sealed under the group's own DMK; all else stays as it came.
fn take_over(
    binding: &Binding,
    secret: &TransferSecret,
    keys: &GroupKeys,
    rows: Vec<MovedRow>,
) -> Result<Vec<MovedRow>, TransferError> {
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let is_keyring = row.table == Table::SlotKeyrings.number();
        taken.push(match (&row.value, slot_of(&row.key.0)) {
            (Some(value), Some(slot)) if is_keyring => {
                let keyring = secret.open(&binding.of_slot(slot), &value.0)?;
                let sealed = keys.seal_slot(slot, &keyring)?.encode()?;
                MovedRow { value: Some(sealed.into()), ..row }
            }
            _ => row,
        });
    }
    Ok(taken)
}
