//! Views of the state, encoded once for all watchers and published when something that a watcher sees has changed.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use holdfast_domain::{
    AccountId, BanSubject, GroupId, KeyGeneration, Lineage, MapEpoch, NodeId, Role,
    codec::{self, CodecError},
};
use holdfast_proto::registry::v1::{GlobalRole, KeyRotation, ReplicaDrop, SignedRow, Voter, WatchEvent};
use holdfast_registry_state::State;
use tokio::{sync::watch, task::JoinHandle};

use super::{limits, wire};
use crate::core::Core;

/// A view for everyone: all of it but `drops` and `rotations` is the same for all watchers.
#[derive(Debug, Default, Clone)]
pub(super) struct Shared {
    index: u64,
    body: Arc<Body>,
}

#[derive(Debug, Default, PartialEq)]
struct Body {
    version: Option<(Lineage, MapEpoch)>,
    map: Option<SignedRow>,
    banned: Vec<BanSubject>,
    bans: Vec<Bytes>,
    approvals: Vec<Bytes>,
    voters: Vec<Voter>,
    drops: BTreeMap<NodeId, Vec<ReplicaDrop>>,
    rotations: BTreeMap<NodeId, Vec<KeyRotation>>,
    global_roles: Vec<GlobalRole>,
}

impl Shared {
    pub(super) fn event(&self, node: NodeId) -> WatchEvent {
        let Body { version: _, map, banned: _, bans, approvals, voters, drops, rotations, global_roles } =
            &*self.body;
        WatchEvent {
            index: self.index,
            map: map.clone(),
            bans: bans.clone(),
            pcr_approvals: approvals.clone(),
            voters: voters.clone(),
            global_roles: global_roles.clone(),
            drops: drops.get(&node).cloned().unwrap_or_default(),
            rotations: rotations.get(&node).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn bans(&self, subject: &BanSubject) -> bool {
        // The state keeps them in order.
        self.body.banned.binary_search(subject).is_ok()
    }

    /// The view of a state; what did not change since `before` is shared with it.
    fn of(state: &State, before: &Self) -> Result<Self, CodecError> {
        let version = state.map().map(|(_, map)| (map.lineage, map.epoch));
        let map = match state.map() {
            // A map may have megabytes, and most changes are not its.
            Some(_) if version == before.body.version => before.body.map.clone(),
            other => other.map(|(signed, _)| wire::signed_row(signed)),
        };
        let banned: Vec<_> = state.barred().into_iter().collect();
        let bans = if banned == before.body.banned { before.body.bans.clone() } else { encode_all(&banned)? };
        let approvals = [holdfast_domain::NodeRole::Registry, holdfast_domain::NodeRole::Node];
        let approvals: Vec<_> = approvals.into_iter().flat_map(|role| state.approvals(role)).collect();
        let body = Body {
            version,
            map,
            banned,
            bans,
            approvals: encode_all(&approvals)?,
            voters: state.voters().map(|voter| wire::voter(&voter.endpoint)).collect(),
            drops: drops(state),
            rotations: rotations(state),
            global_roles: state.global_roles().map(global_role).collect(),
        };
        let body = if body == *before.body { Arc::clone(&before.body) } else { Arc::new(body) };
        Ok(Self { index: state.index(), body })
    }
}

fn encode_all<T: serde::Serialize>(rows: &[T]) -> Result<Vec<Bytes>, CodecError> {
    rows.iter().map(|row| codec::encode(row).map(Bytes::from)).collect()
}

/// Of all nodes that have any.
fn drops(state: &State) -> BTreeMap<NodeId, Vec<ReplicaDrop>> {
    let mut drops: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (group, replica, node) in state.dropping() {
        drops.entry(node).or_default().push(ReplicaDrop { group: group.0, replica_id: replica.0 });
    }
    drops
}

fn rotations(state: &State) -> BTreeMap<NodeId, Vec<KeyRotation>> {
    let nodes = state.members().map(|(node, _)| node);
    let row = |(group, generation): (GroupId, KeyGeneration)| KeyRotation {
        group: group.0,
        above_generation: generation.0,
    };
    let of = |node| (node, state.rotations_for(node).into_iter().map(row).collect::<Vec<_>>());
    nodes.map(of).filter(|(_, rotations)| !rotations.is_empty()).collect()
}

fn global_role((account, role): (AccountId, Role)) -> GlobalRole {
    GlobalRole { account_id: account.as_bytes().to_vec().into(), role: role.number() }
}

/// Follows the state. Ends when it is dropped.
pub(super) struct Publisher {
    core: Arc<Core>,
    views: Arc<watch::Sender<Shared>>,
    task: JoinHandle<()>,
}

impl Publisher {
    pub(super) fn start(core: Arc<Core>) -> Self {
        let views = Arc::new(watch::Sender::new(Shared::default()));
        let task = tokio::spawn(follow(Arc::clone(&core), Arc::clone(&views)));
        Self { core, views, task }
    }

    /// All views from now on, and at first the one of this moment.
    pub(super) fn views(&self) -> watch::Receiver<Shared> {
        publish(&self.core, &self.views);
        let mut views = self.views.subscribe();
        views.mark_changed();
        views
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(core: Arc<Core>, views: Arc<watch::Sender<Shared>>) {
    let mut applied = core.applied();
    applied.mark_changed();
    while applied.changed().await.is_ok() {
        applied.mark_unchanged();
        publish(&core, &views);
        tokio::time::sleep(limits::VIEW_INTERVAL).await;
    }
}

/// Replaces the view, and wakes watchers when they see a difference. The index moves even without: whoever begins to watch here
/// must not take the view for an older one than it has from another voter.
fn publish(core: &Core, views: &watch::Sender<Shared>) {
    views.send_if_modified(|current| match Shared::of(&core.state(), current) {
        Ok(view) => {
            let changed = !Arc::ptr_eq(&view.body, &current.body);
            *current = view;
            changed
        }
        Err(error) => {
            tracing::error!(%error, "the state cannot be shown to watchers");
            false
        }
    });
}
