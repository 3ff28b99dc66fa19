//! Reading a heartbeat, within bounds.

use holdfast_domain::{GroupId, MapEpoch, ReplicaId, map::MAX_MOVES};
use holdfast_proto::registry::v1 as pb;
use holdfast_registry_state::limits::MAX_ZONE;

use super::{Heard, ReplicaHealth, SlotProgress};
use crate::limits::{MAX_FAULT, MAX_REPLICAS_A_NODE};

/// A heartbeat that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a heartbeat with {0}")]
pub struct Unreadable(&'static str);

impl Heard {
    /// Reads what a node said.
    ///
    /// # Errors
    /// [`Unreadable`] beyond the bounds.
    pub fn read(request: pb::HeartbeatRequest) -> Result<Self, Unreadable> {
        let pb::HeartbeatRequest { zone, demands_hardware_tpm, free_bytes, replicas, slot_moves } = request;
        if zone.len() > MAX_ZONE || !zone.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unreadable("a zone that is no word"));
        }
        if replicas.len() > MAX_REPLICAS_A_NODE || slot_moves.len() > MAX_MOVES {
            return Err(Unreadable("more replicas or moves than there may be"));
        }
        if replicas.iter().any(|replica| replica.fault.len() > MAX_FAULT) {
            return Err(Unreadable("a fault that is too long"));
        }
        Ok(Self {
            zone,
            demands_hardware: demands_hardware_tpm,
            free_bytes,
            replicas: replicas.into_iter().map(replica).collect(),
            slot_moves: slot_moves.into_iter().map(slot_move).collect(),
        })
    }
}

fn replica(row: pb::ReplicaHealth) -> ((GroupId, ReplicaId), ReplicaHealth) {
    let pb::ReplicaHealth {
        group,
        replica_id,
        leads,
        term,
        last_log,
        applied,
        records,
        stored_bytes,
        chunk_bytes,
        missing_chunks,
        fault,
    } = row;
    let health = ReplicaHealth {
        leads,
        term,
        last_log,
        applied,
        records,
        stored_bytes,
        chunk_bytes,
        missing_chunks,
        fault,
    };
    ((GroupId(group), ReplicaId(replica_id)), health)
}

fn slot_move(row: pb::SlotMoveProgress) -> (MapEpoch, SlotProgress) {
    let pb::SlotMoveProgress { since, rows, rows_expected, behind } = row;
    (MapEpoch(since), SlotProgress { rows, rows_expected, behind })
}
