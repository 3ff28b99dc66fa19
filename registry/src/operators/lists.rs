//! Rows for operators to look at.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_domain::{
    BanSubject, GroupDescriptor, GroupId, KeySubject, ReplicaDescriptor, ReplicaState, Slot, SlotMove,
    TpmClass,
};
use holdfast_proto::registry::v1::{
    AuditEvent, GroupRow, ListGroupsReply, ListNodesReply, ListPendingReply, NodeRow, PendingRow, ReplicaRow,
    SlotMoveRow, SlotRange,
};
use holdfast_registry_state::State;

use crate::{
    core::Core,
    health::{NodeHealth, ReplicaHealth, SlotProgress},
};

pub(super) fn nodes(core: &Core) -> ListNodesReply {
    let (state, now) = (core.state(), Instant::now());
    let bans: std::collections::BTreeSet<_> = state.bans().collect();
    let rows = state.members().map(|(node, member)| {
        let usage = state.node_use(node);
        let health = core.health().node(node, now);
        let told = |field: fn(&NodeHealth) -> u64| health.as_ref().map_or(0, field);
        NodeRow {
            node_id: Bytes::copy_from_slice(node.as_bytes()),
            role: member.role.as_str().to_owned(),
            address: member.address.clone(),
            ek_hash: Bytes::copy_from_slice(member.ek.as_bytes()),
            tpm_class: match member.class {
                TpmClass::Hardware => "hardware",
                TpmClass::Virtual => "virtual",
            }
            .to_owned(),
            admitted_by: member.admitted_by.as_str().to_owned(),
            joined_ms: member.joined.0,
            renewed_ms: member.renewed.0,
            banned: bans.contains(&BanSubject::Node(node)),
            replicas: count(state.replicas_on(node)),
            zone: usage.zone,
            standing: usage.standing.as_str().to_owned(),
            lost: usage.lost,
            heard_ms_ago: told(|health| ms(health.ago)),
            free_bytes: told(|health| health.free_bytes),
            stored_bytes: told(|health| health.stored_bytes),
            leads: health.as_ref().map_or(0, |health| count(health.leads)),
        }
    });
    ListNodesReply { nodes: rows.collect() }
}

/// Never 0, which says that nothing is known.
fn ms(ago: Duration) -> u64 {
    u64::try_from(ago.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn pending(state: &State) -> ListPendingReply {
    let rows = state.pending().map(|(id, pending)| PendingRow {
        pending_id: Bytes::copy_from_slice(id.as_bytes()),
        ek_hash: Bytes::copy_from_slice(pending.joining.ek.as_bytes()),
        role: pending.joining.role.as_str().to_owned(),
        address: pending.joining.address.clone(),
        since_ms: pending.since.0,
    });
    ListPendingReply { pending: rows.collect() }
}

pub(super) fn shards(core: &Core) -> ListGroupsReply {
    let (state, now) = (core.state(), Instant::now());
    let Some((_, map)) = state.map() else { return ListGroupsReply::default() };
    let begun = map.moves.iter().map(|slot_move| slot_move_row(core, slot_move));
    ListGroupsReply {
        groups: map.groups.iter().map(|group| group_row(core, &state, group, now)).collect(),
        slot_moves: begun.chain(state.waiting_splits().map(waiting_row)).collect(),
    }
}

fn group_row(core: &Core, state: &State, group: &GroupDescriptor, now: Instant) -> GroupRow {
    let health: Vec<_> = group
        .replicas
        .iter()
        .map(|replica| core.health().replica(replica.node, group.group, replica.replica, now))
        .collect();
    // Of several that take themselves for the leader, the one of the newest term is.
    let told =
        group.replicas.iter().zip(&health).filter_map(|(replica, health)| Some((replica, health.as_ref()?)));
    let leader =
        told.clone().filter(|(_, (health, _))| health.leads).max_by_key(|(_, (health, _))| health.term);
    let newest = told.map(|(_, (health, _))| health.last_log).max().unwrap_or_default();
    let leader =
        leader.map(|(replica, _)| Bytes::copy_from_slice(replica.node.as_bytes())).unwrap_or_default();
    let replicas = group.replicas.iter().zip(health);
    GroupRow {
        group: group.group.0,
        epoch: group.epoch.0,
        slots: group.slot_count(),
        replicas: replicas
            .map(|(replica, health)| replica_row(state, group, replica, health, newest))
            .collect(),
        state: state.group_state(group).as_str().to_owned(),
        key_generation: state.generation(KeySubject::Dmk(group.group)).map_or(0, |generation| generation.0),
        wanted: state.wanted(group.group).into(),
        leader,
        rotating: state.is_rotating(group.group),
        slot_ranges: group.slots.iter().map(range).collect(),
    }
}

fn replica_row(
    state: &State,
    group: &GroupDescriptor,
    replica: &ReplicaDescriptor,
    told: Option<(ReplicaHealth, Duration)>,
    newest: u64,
) -> ReplicaRow {
    let heard_ms_ago = told.as_ref().map_or(0, |(_, ago)| ms(*ago));
    let lag = told.as_ref().map_or(0, |(health, _)| newest.saturating_sub(health.last_log));
    let ReplicaHealth {
        leads,
        term,
        last_log,
        applied,
        records,
        stored_bytes,
        chunk_bytes,
        missing_chunks,
        fault,
    } = told.map(|(health, _)| health).unwrap_or_default();
    ReplicaRow {
        replica_id: replica.replica.0,
        node_id: Bytes::copy_from_slice(replica.node.as_bytes()),
        address: replica.address.clone(),
        state: match replica.state {
            ReplicaState::Founding => "founding",
            ReplicaState::Learner => "learner",
            ReplicaState::Voter => "voter",
            ReplicaState::Leaving => "leaving",
        }
        .to_owned(),
        leads,
        term,
        last_log,
        applied,
        lag,
        records,
        stored_bytes,
        chunk_bytes,
        missing_chunks,
        fault,
        heard_ms_ago,
        replaces: state.replaced_by(group.group, replica.replica).map_or(0, |old| old.0),
    }
}

fn slot_move_row(core: &Core, slot_move: &SlotMove) -> SlotMoveRow {
    let SlotMove { since, from, to, slots, give_up } = slot_move;
    let SlotProgress { rows, rows_expected, behind } = core.health().slot_move(*since);
    SlotMoveRow {
        since: since.0,
        from: from.0,
        to: to.0,
        slots: slots.iter().map(range).collect(),
        give_up: *give_up,
        rows,
        rows_expected,
        behind,
    }
}

/// Somebody who asks for a split and looks at once must not take it for one that was given up.
fn waiting_row((from, to, slots): (GroupId, GroupId, &[(Slot, Slot)])) -> SlotMoveRow {
    SlotMoveRow { from: from.0, to: to.0, slots: slots.iter().map(range).collect(), ..SlotMoveRow::default() }
}

fn range((first, last): &(Slot, Slot)) -> SlotRange {
    SlotRange { first: first.number().into(), last: last.number().into() }
}

pub(super) fn audit(state: &State, from: u64) -> Vec<AuditEvent> {
    let event = |record: &holdfast_registry_state::AuditRecord| AuditEvent {
        index: record.index,
        time_ms: record.time.0,
        what: record.what.clone(),
        hash: Bytes::copy_from_slice(record.hash.as_bytes()),
    };
    state.audit().from(from).map(event).collect()
}
