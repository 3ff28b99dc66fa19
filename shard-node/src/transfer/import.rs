//! The target's side: show the key, take pieces over, ask for the freeze when little is missing, activate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_domain::{Reason, ReplicaDescriptor, ReplicaState, SlotMove, codec};
use holdfast_keys::TransferSecret;
use holdfast_proto::node::v1::{
    BeginTransferRequest, PullSlotsRequest, ReadinessRequest, transfer_client::TransferClient,
};
use holdfast_sys_core::Refusal;
use tonic::{Status, transport::Channel};

use super::{
    TransferError,
    drive::Mover,
    key::{Binding, TransferKey},
    piece::Piece,
};
use crate::{
    machine::{
        Fence, GroupKeys, IncomingPhase, IncomingRow, MoveCommand, MovedRow, Outcome, Position, Row as _,
        Table, slot_of,
    },
    partition::ShardGroup,
};

/// A pull that takes no longer than this is followed by the freeze: the last one takes about as long.
const SHORT: Duration = Duration::from_millis(60);
/// Pulls after which the slots are frozen anyway: writes come as fast as they are taken over.
const MAX_PULLS: u32 = 64;
/// How long the source may take to send a piece or to refuse.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two looks whether replicas have all chunks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long replicas may take to fetch chunks before the slots would be frozen; then it is tried again.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);

/// What one stream brought.
struct Brought {
    /// Whether manifests came: their chunks may be missing.
    files: bool,
    fence: Option<Fence>,
}

impl Mover {
    /// Shows the transfer key to the source's leader.
    pub(super) async fn begin(
        &self,
        shard: &Arc<ShardGroup>,
        slots: &SlotMove,
        incoming: &IncomingRow,
    ) -> Result<(), TransferError> {
        let member = &self.runtime.keeper.member;
        let binding = self.binding(shard, slots.since, slots.from);
        let (public, by) = (incoming.public, member.settings().node);
        let signed = TransferKey { binding, public, by }.sign(member).await?;
        let request = BeginTransferRequest {
            group: slots.from.0,
            key: signed.bytes.into(),
            signature: Bytes::copy_from_slice(&signed.signature.0),
        };
        self.ask(slots, |mut source| {
            let request = request.clone();
            async move { source.begin_transfer(request).await.map(drop) }
        })
        .await
    }

    /// Takes rows over until the slots are served here, the move is given up, or something fails.
    pub(super) async fn import(
        &self,
        shard: &Arc<ShardGroup>,
        slots: &SlotMove,
        incoming: &IncomingRow,
    ) -> Result<(), TransferError> {
        let binding = self.binding(shard, slots.since, slots.from);
        let secret = binding.open(shard.state().keys(), incoming.generation, &incoming.sealed)?;
        let importing = Importing { mover: self, shard, slots, binding, secret: Arc::new(secret) };
        let IncomingPhase::Importing { position } = &incoming.phase else { return Ok(()) };
        let mut position = position.clone();
        let mut ready_to_freeze = false;
        let (mut whole, mut pulls) = (false, 0);
        while importing.is_wanted() && shard.leads() {
            let started = Instant::now();
            let brought = importing.pull(&mut position, ready_to_freeze).await?;
            if let Some(fence) = brought.fence {
                if brought.files {
                    importing.until_whole(shard).await?;
                }
                importing.activate(fence).await?;
                tracing::info!(group = %shard.id(), since = slots.since.0, pause_ms = started.elapsed().as_millis(), "slots taken over");
                return Ok(());
            }
            // Chunks are many: they come before the freeze, and what followed them meanwhile is little.
            if brought.files || !whole {
                importing.until_whole(shard).await?;
                whole = true;
                continue;
            }
            pulls += 1;
            ready_to_freeze = started.elapsed() <= SHORT || pulls >= MAX_PULLS;
        }
        Ok(())
    }

    /// Asks whoever leads the source.
    async fn ask<T, F: Future<Output = Result<T, Status>>>(
        &self,
        slots: &SlotMove,
        call: impl Fn(TransferClient<Channel>) -> F,
    ) -> Result<T, TransferError> {
        let mut last = TransferError::NoLeader(slots.from);
        let mut voters = self.voters_of(slots.from);
        let last_leader = self.last_leader(slots.from);
        voters.sort_by_key(|replica| Some(replica.node) != last_leader);
        for replica in voters {
            let ReplicaDescriptor { node, address, .. } = &replica;
            let channel = self
                .runtime
                .neighbours
                .channel(*node, address)
                .map_err(|error| TransferError::Address(*node, error))?;
            let answer = tokio::time::timeout(PATIENCE, call(TransferClient::new(channel))).await;
            match answer.unwrap_or_else(|_| Err(too_long())) {
                Ok(answer) => {
                    self.remember_leader(slots.from, *node);
                    return Ok(answer);
                }
                Err(status) => {
                    let refusal = Refusal::from_status(&status);
                    let elsewhere = refusal.is_ok_and(|refusal| {
                        matches!(refusal.reason(), Reason::NotLeader | Reason::NoQuorum | Reason::NotReady)
                    });
                    let error = TransferError::Peer(*node, Box::new(status));
                    if !elsewhere && !is_away(&error) {
                        return Err(error);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn voters_of(&self, group: holdfast_domain::GroupId) -> Vec<ReplicaDescriptor> {
        let view = self.runtime.view.borrow();
        let descriptor = view.map.as_ref().and_then(|map| map.map.group(group));
        let votes = |replica: &&ReplicaDescriptor| {
            matches!(replica.state, ReplicaState::Voter | ReplicaState::Leaving)
        };
        descriptor.map(|group| group.replicas.iter().filter(votes).cloned().collect()).unwrap_or_default()
    }
}

fn too_long() -> Status {
    Status::unavailable("the source takes too long to answer")
}

/// Whether nobody answered at all.
fn is_away(error: &TransferError) -> bool {
    matches!(error, TransferError::Peer(_, status) if status.code() == tonic::Code::Unavailable)
}

/// One move into a group that we lead.
struct Importing<'a> {
    mover: &'a Mover,
    shard: &'a Arc<ShardGroup>,
    slots: &'a SlotMove,
    binding: Binding,
    secret: Arc<TransferSecret>,
}

impl Importing<'_> {
    /// Whether the map still wants the move.
    fn is_wanted(&self) -> bool {
        let view = self.mover.runtime.view.borrow();
        let found =
            view.map.as_ref().and_then(|map| map.map.moves.iter().find(|of| of.since == self.slots.since));
        found.is_some_and(|found| !found.give_up)
    }

    /// Takes over what one stream brings.
    async fn pull(&self, position: &mut Position, freeze: bool) -> Result<Brought, TransferError> {
        let request = PullSlotsRequest {
            group: self.slots.from.0,
            since: self.slots.since.0,
            position: codec::encode(&*position)?.into(),
            freeze,
        };
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
        let mut brought = Brought { files: false, fence: None };
        let mut next = first;
        while let Some(message) = next {
            if !self.is_wanted() || !self.shard.leads() {
                return Ok(brought);
            }
            let size = message.piece.len();
            let started = Instant::now();
            let Piece { rows, to, fence } = Piece::decode(&message.piece)?;
            let file_tables = [Table::Files.number(), Table::Pages.number()];
            brought.files |= rows.iter().any(|row| file_tables.contains(&row.table));
            if fence.is_some() {
                brought.fence = fence;
                return Ok(brought);
            }
            if to == *position {
                // Nothing changed since. Whatever else the source has to say without a step forward would be said for ever.
                return Ok(brought);
            }
            self.propose(position, to, rows).await?;
            if !freeze {
                tokio::time::sleep(self.pause_after(size).saturating_sub(started.elapsed())).await;
            }
            let waited =
                tokio::time::timeout(PATIENCE, stream.message()).await.unwrap_or_else(|_| Err(too_long()));
            next = waited.map_err(|status| self.failed(status))?;
        }
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

    async fn propose(
        &self,
        position: &mut Position,
        to: Position,
        rows: Vec<MovedRow>,
    ) -> Result<(), TransferError> {
        let (binding, secret) = (self.binding, Arc::clone(&self.secret));
        let rows = self
            .shard
            .blocking(move |shard| Ok(take_over(&binding, &secret, shard.state().keys(), rows)))
            .await??;
        let (since, from) = (self.slots.since, position.clone());
        let command = MoveCommand::ImportRows { since, from, to: to.clone(), rows };
        self.mover.log(self.shard, "import", command).await?;
        *position = to;
        Ok(())
    }

    async fn activate(&self, fence: Fence) -> Result<(), TransferError> {
        let SlotMove { since, from, .. } = *self.slots;
        let activated = self.mover.log(self.shard, "activate", MoveCommand::Activate { since, fence }).await;
        if let Err(TransferError::Log { outcome: Outcome::Differs, .. }) = activated {
            // Frozen slots serve nobody: what is damaged on either side must not keep them so.
            tracing::error!(group = %self.shard.id(), %from, "imported slots are not what the source froze; the move is given up");
            self.mover.log(self.shard, "abort", MoveCommand::AbortImport { since, from }).await?;
        }
        activated
    }

    /// Until this replica, and enough others, have every chunk that a manifest names.
    async fn until_whole(&self, shard: &Arc<ShardGroup>) -> Result<(), TransferError> {
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
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether a majority, this replica counted as one that is, lacks nothing as of an entry.
    async fn are_whole(&self, shard: &ShardGroup, applied: u64) -> bool {
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
