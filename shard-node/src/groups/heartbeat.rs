//! Telling every voter of the registry how this node and its replicas are.

mod slot_moves;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use holdfast_domain::GroupId;
use holdfast_proto::registry::v1::{HeartbeatRequest, ReplicaHealth, custody_client::CustodyClient};
use tokio::time::Instant;

use self::slot_moves::slot_moves;
use super::Runtime;
use crate::{machine::StateStats, partition::ShardGroup};

/// Pause between two.
const INTERVAL: Duration = Duration::from_secs(2);
/// A voter that does not answer gets the next one.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Counting reads all slots: not more often than this, and only after changes.
const COUNT: Duration = Duration::from_secs(10);

/// Counts of a replica, and of when.
struct Counted {
    applied: u64,
    at: Instant,
    stats: StateStats,
    chunk_bytes: u64,
}

/// Sends heartbeats for ever.
pub async fn keep_telling(runtime: Arc<Runtime>, demands_hardware_tpm: bool) {
    let mut counts: BTreeMap<GroupId, Counted> = BTreeMap::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut replicas = Vec::new();
        for shard in runtime.hosted.all() {
            replicas.push(health(&runtime, &shard, &mut counts).await);
        }
        let member = &runtime.keeper.member;
        let request = HeartbeatRequest {
            zone: member.settings().zone.clone(),
            demands_hardware_tpm,
            free_bytes: free_bytes(member.folder.path()),
            replicas,
            slot_moves: slot_moves(&runtime).await,
        };
        for address in runtime.keeper.registries.addresses() {
            let Ok(channel) = runtime.keeper.registries.channel(&address) else { continue };
            let request = request.clone();
            tokio::spawn(async move {
                let mut registry = CustodyClient::new(channel);
                let told = registry.heartbeat(request);
                if let Ok(Err(status)) = tokio::time::timeout(PATIENCE, told).await {
                    tracing::debug!(address, %status, "heartbeat refused");
                }
            });
        }
    }
}

async fn health(
    runtime: &Runtime,
    shard: &ShardGroup,
    counts: &mut BTreeMap<GroupId, Counted>,
) -> ReplicaHealth {
    let (group, raft) = (shard.id(), shard.raft());
    let status = raft.status();
    let applied = status.applied.unwrap_or_default();
    let known = counts.get(&group);
    if known.is_none_or(|known| known.applied != applied && known.at.elapsed() >= COUNT) {
        let counted =
            shard.blocking(|shard| Ok((shard.state().stats()?, shard.segments().stats().wanted_bytes)));
        // Old counts are better than none.
        if let Ok((stats, chunk_bytes)) = counted.await {
            counts.insert(group, Counted { applied, at: Instant::now(), stats, chunk_bytes });
        }
    }
    let (stats, chunk_bytes) =
        counts.get(&group).map(|known| (known.stats, known.chunk_bytes)).unwrap_or_default();
    // Only what was synced: a floor that is too high would condemn a good replica.
    let floor = raft.acknowledged().unwrap_or_default();
    ReplicaHealth {
        group: group.0,
        replica_id: shard.replica().0,
        leads: shard.leads(),
        term: floor.term,
        last_log: floor.index,
        applied,
        records: stats.records,
        stored_bytes: stats.record_bytes,
        chunk_bytes,
        missing_chunks: shard.known_holes().try_into().unwrap_or(u64::MAX),
        fault: runtime.told_fault(group, shard.replica()),
    }
}

/// What is left on the disk; 0 if nobody knows.
fn free_bytes(folder: &std::path::Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}
