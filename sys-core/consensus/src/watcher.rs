//! Turns the library's metrics into [`GroupStatus`].

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_domain::{GroupId, ReplicaId};
use openraft::RaftMetrics;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;

use crate::types::{StoredMembership, Types};
use crate::{GroupStatus, MembershipView, Role, Standing};

type Metrics = RaftMetrics<Types>;

/// A status before the replica runs.
pub(crate) fn starting(group: GroupId, replica: ReplicaId) -> GroupStatus {
    GroupStatus {
        group,
        replica,
        role: Role::Learner,
        leader: None,
        term: 0,
        last_log: None,
        committed: None,
        applied: None,
        snapshot: None,
        purged: None,
        membership: Arc::default(),
        matched: BTreeMap::new(),
        sleeping: false,
        standing: Standing::Proving,
    }
}

/// Follows the metrics until the replica stops.
pub(crate) async fn run(
    mut metrics: WatchReceiverOf<Types, Metrics>,
    status: Arc<watch::Sender<GroupStatus>>,
) {
    loop {
        // A copy: whoever reads the status may ask for the metrics, and must not find us waiting with them in our hands.
        let now = metrics.borrow_watched().clone();
        let stopped = publish(&now, &status);
        if stopped || metrics.changed().await.is_err() {
            break;
        }
    }
    status.send_if_modified(|status| {
        let changed = status.role != Role::Stopped;
        status.role = Role::Stopped;
        changed
    });
}

/// Publishes what differs; returns whether the replica has stopped.
pub(crate) fn publish(metrics: &Metrics, status: &watch::Sender<GroupStatus>) -> bool {
    let stopped = metrics.running_state.is_err();
    if let Err(error) = &metrics.running_state
        && !matches!(error, openraft::error::Fatal::Stopped)
    {
        tracing::error!(group = %status.borrow().group, %error, "replica_failed");
    }
    status.send_if_modified(|status| {
        let next = GroupStatus {
            group: status.group,
            replica: status.replica,
            role: if stopped { Role::Stopped } else { role(metrics.state) },
            leader: metrics.current_leader.map(ReplicaId),
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            committed: metrics.cluster_committed.map(|id| id.index),
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            purged: metrics.purged.map(|id| id.index),
            membership: membership(&metrics.membership_config, &status.membership),
            matched: matched(metrics),
            sleeping: status.sleeping,
            standing: status.standing,
        };
        let changed = next != *status;
        *status = next;
        changed
    });
    stopped
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn membership(stored: &StoredMembership, known: &Arc<MembershipView>) -> Arc<MembershipView> {
    let index = stored.log_id().map(|id| id.index);
    // Two entries at one index can differ after a change of leaders, so that members are compared too.
    let same = known.index == index
        && stored.nodes().count() == known.members.len()
        && stored
            .nodes()
            .zip(&known.members)
            .all(|((id, member), (known_id, known))| *id == known_id.0 && member == known)
        && stored.voter_ids().map(ReplicaId).eq(known.voters.iter().copied())
        && known.joint == (stored.get_joint_config().len() > 1);
    if same {
        return known.clone();
    }
    Arc::new(MembershipView {
        index,
        voters: stored.voter_ids().map(ReplicaId).collect(),
        joint: stored.get_joint_config().len() > 1,
        members: stored.nodes().map(|(id, member)| (ReplicaId(*id), member.clone())).collect(),
    })
}

fn matched(metrics: &Metrics) -> BTreeMap<ReplicaId, Option<u64>> {
    metrics
        .replication
        .iter()
        .flatten()
        .map(|(id, matched)| (ReplicaId(*id), matched.map(|id| id.index)))
        .collect()
}
