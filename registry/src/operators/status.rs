//! The overview. Answered by any member from what it knows, leader or not: it is what one looks at when there is no leader.

use bytes::Bytes;
use holdfast_consensus::GroupStatus;
use holdfast_domain::Reason;
use holdfast_proto::registry::v1::{StatusReply, VoterStatus};
use holdfast_registry_state::{State, VoterState};
use holdfast_sys_core::Refusal;

use crate::{core::Core, services::wire};

pub(super) fn reply(core: &Core, group: &GroupStatus) -> Result<StatusReply, Refusal> {
    let leader =
        group.leader.and_then(|leader| group.membership.members.get(&leader)).map(|member| member.node);
    let voters = |state: &State| -> Vec<VoterStatus> {
        let row = |voter: &holdfast_registry_state::Voter| {
            let replica = voter.endpoint.replica;
            let own = replica == group.replica;
            let matched = if own { group.last_log } else { group.matched.get(&replica).copied().flatten() };
            VoterStatus {
                voter: Some(wire::voter(&voter.endpoint)),
                is_voter: voter.state == VoterState::Voter,
                is_leader: group.leader == Some(replica),
                matched_index: matched.unwrap_or_default(),
            }
        };
        state.voters().map(row).collect()
    };
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let state = core.state();
    let genesis = state.genesis().ok_or_else(|| Refusal::new(Reason::NotReady))?;
    let counts = state.counts();
    Ok(StatusReply {
        cluster_id: Bytes::copy_from_slice(genesis.cluster.as_bytes()),
        trust_domain: genesis.trust_domain.to_string(),
        root_hash: Bytes::copy_from_slice(genesis.root.as_bytes()),
        leader: leader.map(|node| Bytes::copy_from_slice(node.as_bytes())).unwrap_or_default(),
        term: group.term,
        applied_index: group.applied.unwrap_or_default(),
        voters: voters(&state),
        map_epoch: state.map_epoch().0,
        nodes: count(counts.nodes),
        groups: count(counts.groups),
        groups_ready: count(counts.groups_ready),
        clients: u64::try_from(counts.clients).unwrap_or(u64::MAX),
        bans: count(counts.bans),
        pending: count(counts.pending),
        policy_epoch: state.policy_epoch().0,
        operator_set: state.operator_set(),
    })
}
