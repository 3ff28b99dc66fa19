//! Where things are: the bundle and voters for everyone, the signed map, and the watch of it all.

mod contact;
mod views;

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use holdfast_domain::{AccountId, BanSubject, MapEpoch, NodeId, Reason, Slot};
use holdfast_proto::registry::v1::{
    BootstrapReply, BootstrapRequest, ResolveReply, ResolveRequest, WatchEvent, WatchRequest,
    directory_server::Directory,
};
use holdfast_sys_core::{Caller, Refusal};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tonic::{Request, Response, Status};

use super::{limits, machine, wire};
use crate::core::Core;
use contact::Contact;
use views::{Publisher, Shared};

/// The service.
pub struct DirectoryService {
    core: Arc<Core>,
    publisher: Publisher,
    contact: Contact,
    watches: Arc<Semaphore>,
}

impl DirectoryService {
    /// Serves from a voter's state. Must be called within a runtime.
    pub fn new(core: Arc<Core>) -> Self {
        let publisher = Publisher::start(Arc::clone(&core));
        let contact = Contact::start(Arc::clone(&core));
        Self { core, publisher, contact, watches: Arc::new(Semaphore::new(limits::MAX_WATCHES)) }
    }

    /// The signed map, at least this new or the newest there is. Without a home, the map alone.
    async fn resolve(&self, stranger: bool, request: ResolveRequest) -> Result<ResolveReply, Refusal> {
        let ResolveRequest { home, min_map_epoch } = request;
        let home = if home.is_empty() { None } else { Some(wire::id::<AccountId>(&home, "home")?) };
        let known = self.core.state().map_epoch();
        // Strangers do not make this voter ask the leader.
        if !stranger && known < MapEpoch(min_map_epoch.max(1)) {
            self.core.read_index().await?;
        }
        let state = self.core.state();
        let none = || Refusal::new(Reason::NotReady).because("no groups were created yet");
        let (signed, map) = state.map().ok_or_else(none)?;
        let slot = home.map(|home| Slot::of_home(map.cluster, home));
        let group = slot.and_then(|slot| map.group_of(slot)).map_or(0, |group| group.group.0);
        Ok(ResolveReply { map: Some(wire::signed_row(signed)), group })
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<WatchEvent, Status>> + Send>>;

#[tonic::async_trait]
impl Directory for DirectoryService {
    type WatchStream = Events;

    async fn bootstrap(&self, _: Request<BootstrapRequest>) -> Result<Response<BootstrapReply>, Status> {
        let state = self.core.state();
        let founded = state.founded().ok_or_else(|| Refusal::new(Reason::NotReady))?;
        Ok(Response::new(BootstrapReply {
            bundle: Some(self.core.cluster().bundle(founded.bundle_sequence)),
            voters: state.voters().map(|voter| wire::voter(&voter.endpoint)).collect(),
            server_time_ms: self.core.now().0,
        }))
    }

    async fn resolve(&self, request: Request<ResolveRequest>) -> Result<Response<ResolveReply>, Status> {
        let stranger = *Caller::of(&request)? == Caller::Anonymous;
        Ok(Self::resolve(self, stranger, request.into_inner()).await.map(Response::new)?)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Events>, Status> {
        let (_, node) = machine(&request)?;
        let permit = Arc::clone(&self.watches).try_acquire_owned();
        let permit = permit.map_err(|_| Refusal::new(Reason::Overloaded).because("too many watches"))?;
        // Cut off from the others, this voter would keep bans from the watcher, which has a view already and maybe other voters.
        if !self.contact.confirmed().await || self.core.state().founded().is_none() {
            return Err(Refusal::new(Reason::NotReady).into());
        }
        let views = self.publisher.views();
        let lost = self.contact.lost();
        let mut heartbeat = interval_at(Instant::now() + limits::HEARTBEAT, limits::HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watch = Watch { node, views, heartbeat, _permit: permit };
        Ok(Response::new(Box::pin(self.core.stopping().ends(events(watch).take_until(lost)))))
    }
}

/// One watch under way.
struct Watch {
    node: NodeId,
    views: watch::Receiver<Shared>,
    heartbeat: Interval,
    _permit: OwnedSemaphorePermit,
}

/// Views as they change, and again at each heartbeat, until the watcher is banned. What changes while the watcher is slow is seen
/// together.
fn events(watch: Watch) -> impl Stream<Item = Result<WatchEvent, Status>> + Send {
    stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        let is_news = tokio::select! {
            biased;
            changed = watch.views.changed() => changed.map(|()| true).ok()?,
            _ = watch.heartbeat.tick() => false,
        };
        // A heartbeat marks nothing as seen: a change that comes in between is shown with its map.
        let shared =
            if is_news { watch.views.borrow_and_update().clone() } else { watch.views.borrow().clone() };
        if shared.bans(&BanSubject::Node(watch.node)) {
            return Some((Err(Refusal::new(Reason::Banned).into()), None));
        }
        let event = shared.event(watch.node);
        // The map is far the largest part, and the watcher keeps the one it has.
        let event = if is_news { event } else { WatchEvent { map: None, ..event } };
        Some((Ok(event), Some(watch)))
    })
}
