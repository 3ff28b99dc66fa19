//! Rows for operators to look at.

use bytes::Bytes;
use holdfast_domain::{BanSubject, KeySubject, ReplicaState, TpmClass};
use holdfast_proto::registry::v1::{
    AuditEvent, GroupRow, ListGroupsReply, ListNodesReply, ListPendingReply, NodeRow, PendingRow, ReplicaRow,
};
use holdfast_registry_state::{GroupState, State};

pub(super) fn nodes(state: &State) -> ListNodesReply {
    let bans: std::collections::BTreeSet<_> = state.bans().collect();
    let rows = state.members().map(|(node, member)| NodeRow {
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
        replicas: u32::try_from(state.replicas_on(node)).unwrap_or(u32::MAX),
        ..NodeRow::default()
    });
    ListNodesReply { nodes: rows.collect() }
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

pub(super) fn groups(state: &State) -> ListGroupsReply {
    let groups = state.map().into_iter().flat_map(|(_, map)| &map.groups).map(|group| GroupRow {
        group: group.group.0,
        epoch: group.epoch.0,
        slots: group.slots.iter().map(|(first, last)| slots_between(first.number(), last.number())).sum(),
        replicas: group
            .replicas
            .iter()
            .map(|replica| ReplicaRow {
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
                ..ReplicaRow::default()
            })
            .collect(),
        state: GroupState::of(group).as_str().to_owned(),
        key_generation: state.generation(KeySubject::Dmk(group.group)).map_or(0, |generation| generation.0),
        ..GroupRow::default()
    });
    ListGroupsReply { groups: groups.collect(), slot_moves: Vec::new() }
}

fn slots_between(first: u16, last: u16) -> u32 {
    u32::from(last).saturating_sub(first.into()).saturating_add(1)
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
