//! Where things are, to everyone who may know.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use holdfast_domain::{AccountId, MapEpoch, NodeId, Reason, Slot};
use holdfast_proto::registry::v1::{
    BootstrapReply, BootstrapRequest, ReplicaTask, ResolveReply, ResolveRequest, TaskKind as WireKind, WatchEvent,
    WatchRequest, directory_server::Directory,
};
use holdfast_registry_state::{Task, TaskKind, View};
use holdfast_sys_core::Refusal;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{Replies, machine_of};
use crate::{
    limits::{REPLY_QUEUE, WATCH_PACE},
    registry::Registry,
    wire,
};

pub(super) struct Service {
    registry: Arc<Registry>,
}

impl Service {
    pub(super) const fn new(registry: Arc<Registry>) -> Self {
        Self { registry }
    }
}

#[tonic::async_trait]
impl Directory for Service {
    type WatchStream = Replies<WatchEvent>;

    async fn bootstrap(
        &self,
        _request: Request<BootstrapRequest>,
    ) -> Result<Response<BootstrapReply>, Status> {
        let server_time_ms = self.registry.clock.now().0;
        let reply = self.registry.read(|state| {
            let founded = state.founded().ok_or(Reason::NotReady)?;
            let voters = state.voters().map(|voter| wire::voter(&voter.endpoint)).collect();
            Ok(BootstrapReply { bundle: Some(wire::bundle(founded)), voters, server_time_ms })
        });
        Ok(Response::new(reply.map_err(Refusal::new)?))
    }

    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveReply>, Status> {
        let ResolveRequest { home, min_map_epoch } = request.into_inner();
        let home: AccountId = wire::id(&home, "home")?;
        if self.registry.read(|state| state.map_epoch()) < MapEpoch(min_map_epoch.max(1)) {
            self.registry.catch_up().await?;
        }
        let slot = Slot::of_home(self.registry.cluster(), home);
        let reply = self.registry.read(|state| {
            let (signed, map) = state.map()?;
            let group = map.group_of(slot)?.group.0;
            Some(ResolveReply { map: Some(wire::signed_row(signed)), group })
        });
        let none = || Refusal::new(Reason::NotReady).because("there are no groups yet");
        Ok(Response::new(reply.ok_or_else(none)?))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let node = machine_of(&request)?;
        self.registry.catch_up().await?;
        let (sender, receiver) = mpsc::channel(REPLY_QUEUE);
        tokio::spawn(follow(Arc::clone(&self.registry), node, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// Sends the whole view at first and after each change of it, until the watcher goes away.
async fn follow(registry: Arc<Registry>, node: NodeId, events: mpsc::Sender<Result<WatchEvent, Status>>) {
    let mut changes = registry.state.changes();
    let mut sent: Option<View> = None;
    loop {
        changes.mark_unchanged();
        let view = registry.read(|state| state.view(node));
        if sent.as_ref().is_none_or(|sent| !same(sent, &view)) {
            let message = event(&view).map_err(Status::from);
            if events.send(message).await.is_err() {
                return;
            }
            sent = Some(view);
            pause(&events, WATCH_PACE).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = events.closed() => return,
        }
    }
}

async fn pause<T>(events: &mpsc::Sender<T>, pace: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pace) => {}
        () = events.closed() => {}
    }
}

/// Whether two views show the same, whatever their index.
fn same(one: &View, other: &View) -> bool {
    let View { index: _, map, bans, approvals, voters, tasks } = one;
    *map == other.map
        && *bans == other.bans
        && *approvals == other.approvals
        && *voters == other.voters
        && *tasks == other.tasks
}

fn event(view: &View) -> Result<WatchEvent, Refusal> {
    let View { index, map, bans, approvals, voters, tasks } = view;
    Ok(WatchEvent {
        index: *index,
        map: map.as_ref().map(wire::signed_row),
        bans: bans.iter().map(wire::encoded).collect::<Result<_, _>>()?,
        pcr_approvals: approvals.iter().map(wire::encoded).collect::<Result<_, _>>()?,
        voters: voters.iter().map(wire::voter).collect(),
        tasks: tasks.iter().map(task).collect(),
    })
}

fn task(task: &Task) -> ReplicaTask {
    let Task { group, kind, target, replica, address } = task;
    let kind = match kind {
        TaskKind::Found => WireKind::Found,
        TaskKind::HandOver => WireKind::HandOver,
        TaskKind::Receive => WireKind::Receive,
        TaskKind::Drop => WireKind::Drop,
    };
    ReplicaTask {
        group: group.0,
        kind: kind.into(),
        target_node: Bytes::copy_from_slice(target.as_bytes()),
        target_replica: replica.0,
        target_address: address.clone(),
    }
}
