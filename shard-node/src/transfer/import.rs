//! The target's side: show the key, take pieces over, ask for the freeze when little is missing, activate.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use holdfast_domain::{Reason, ReplicaDescriptor, ReplicaState, SlotMove};
use holdfast_proto::node::v1::{BeginTransferRequest, transfer_client::TransferClient};
use holdfast_sys_core::Refusal;
use tonic::{Status, transport::Channel};

use super::{
    TransferError,
    drive::Mover,
    key::TransferKey,
    taking::{Importing, PATIENCE},
};
use crate::{
    machine::{IncomingPhase, IncomingRow},
    partition::ShardGroup,
};

/// A pull that takes no longer than this is followed by the freeze: the last one takes about as long.
const SHORT: Duration = Duration::from_millis(15);
/// The same for one that is no shorter than the one before it.
const FAIR: Duration = Duration::from_millis(60);
/// The rows that the beginning wrote, one for each slot on either side, are on the disk after this: not while nobody serves.
const SETTLED: Duration = Duration::from_millis(300);
/// Pulls after which the slots are frozen anyway: writes come as fast as they are taken over.
const MAX_PULLS: u32 = 64;
/// Pause between two looks whether replicas have all chunks, while the slots still serve.
const PAUSE: Duration = Duration::from_millis(100);

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
        let IncomingPhase::Importing { position } = &incoming.phase else { return Ok(()) };
        let mut importing = Importing::new(self, shard, slots, (binding, secret), position.clone());
        let (mut whole, mut pulls, mut before) = (false, 0, Duration::MAX);
        let (mut freeze, begun) = (false, Instant::now());
        while importing.is_wanted() && shard.leads() {
            let started = Instant::now();
            let brought = importing.pull(freeze).await?;
            if let Some(fence) = brought.fence {
                importing.activate(fence, brought.files).await?;
                let (group, since) = (shard.id(), slots.since.0);
                let (frozen_ms, fence_ms) = (brought.first.as_millis(), brought.last.as_millis());
                let pause_ms = started.elapsed().as_millis();
                tracing::info!(%group, since, frozen_ms, fence_ms, pause_ms, "slots taken over");
                return Ok(());
            }
            // Chunks are many: they come before the freeze, and what followed them meanwhile is little.
            if brought.files || !whole {
                importing.until_whole(PAUSE).await?;
                whole = true;
            }
            tokio::time::sleep(SETTLED.saturating_sub(begun.elapsed())).await;
            // What is written during a pull is what the next one brings: they get shorter until it is no use to wait any longer.
            let took = started.elapsed();
            pulls += 1;
            freeze = took <= SHORT || took <= FAIR && took >= before || pulls >= MAX_PULLS;
            before = took;
        }
        Ok(())
    }

    /// Asks whoever leads the source.
    pub(super) async fn ask<T, F: Future<Output = Result<T, Status>>>(
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

    pub(super) fn voters_of(&self, group: holdfast_domain::GroupId) -> Vec<ReplicaDescriptor> {
        let view = self.runtime.view.borrow();
        let descriptor = view.map.as_ref().and_then(|map| map.map.group(group));
        let votes = |replica: &&ReplicaDescriptor| {
            matches!(replica.state, ReplicaState::Voter | ReplicaState::Leaving)
        };
        descriptor.map(|group| group.replicas.iter().filter(votes).cloned().collect()).unwrap_or_default()
    }
}

pub(super) fn too_long() -> Status {
    Status::unavailable("the source takes too long to answer")
}

/// Whether nobody answered at all.
fn is_away(error: &TransferError) -> bool {
    matches!(error, TransferError::Peer(_, status) if status.code() == tonic::Code::Unavailable)
}
