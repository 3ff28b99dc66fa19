//! Where newer maps come from: a refusal, the node that refused, any node of the group, the registry. Each map is checked like any other.

use std::{
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};

use holdfast_domain::{HomeId, Lineage, MapEpoch, Reason, ShardMap, Signed};
use holdfast_proto::{
    node::v1::{NewestMapReply, NewestMapRequest, maps_client::MapsClient},
    registry::v1::{self as pb, directory_client::DirectoryClient},
};
use tonic::{Response, Status, transport::Channel};

use super::{MapCache, MapRefused, Offer, Replica, Route};
use crate::{
    Error,
    client::{Shared, signed_map},
    error::Answer,
    limits::{ASK_NODE_TIMEOUT, MAX_REPLY_BYTES},
    registries::Repeat,
};

/// A node's map, if it is newer than what is known.
///
/// # Errors
/// The call's.
pub(crate) async fn of_node(
    channel: Channel,
    (lineage, epoch): (Lineage, MapEpoch),
) -> Result<Option<Signed<ShardMap>>, Status> {
    let request = NewestMapRequest { known_lineage: lineage.0, known_epoch: epoch.0 };
    let mut maps = MapsClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
    let reply = tokio::time::timeout(ASK_NODE_TIMEOUT, maps.newest(request)).await;
    let silent = |_| Status::deadline_exceeded("no reply in time");
    let NewestMapReply { map } = reply.map_err(silent)??.into_inner();
    Ok(map.and_then(signed_map))
}

impl Shared {
    /// The route to a home, asking the registry only when no map is known.
    pub(crate) async fn route(&self, home: HomeId, action: &str) -> Result<Route, Error> {
        let known = self.maps().route(home);
        match known {
            Some(route) => Ok(route),
            None => {
                let epoch = self.maps().epoch();
                self.ask_registry(home, action, epoch).await?;
                // A passing reason, so that callers wait for the first groups of a new cluster.
                let none = || Answer::refused(Reason::NotReady).into_error(action, Duration::ZERO);
                self.maps().route(home).ok_or_else(none)
            }
        }
    }

    /// The route to the group that the home's slot is on its way to.
    pub(crate) fn next_route(&self, home: HomeId) -> Option<Route> {
        self.maps().next_route(home)
    }

    /// Asks the registry for a map at least this new and takes it.
    pub(crate) async fn ask_registry(
        &self,
        home: HomeId,
        action: &str,
        at_least: MapEpoch,
    ) -> Result<(), Error> {
        let home = home.as_bytes().to_vec();
        let reply = self.registries.call(action, Repeat::Safe, |channel| {
            let request = pb::ResolveRequest { home: home.clone().into(), min_map_epoch: at_least.0 };
            let mut directory = DirectoryClient::new(channel).max_decoding_message_size(MAX_REPLY_BYTES);
            async move { directory.resolve(request).await.map(Response::into_inner) }
        });
        let pb::ResolveReply { map, group: _ } = reply.await?;
        // Seldom enough: who has a map asks the nodes.
        self.registries.learn().await;
        let signed = map.and_then(signed_map);
        let missing = || Error::Reply { action: action.to_owned(), what: "shard map" };
        self.take_map(&signed.ok_or_else(missing)?).map(drop)
    }

    /// Takes a node's map if it is newer.
    ///
    /// # Errors
    /// A map that is not believed. A node that does not answer is none.
    pub(crate) async fn ask_node(&self, action: &str, replica: &Replica) -> Result<Offer, Error> {
        let channel = self.nodes.channel(action, replica)?;
        let known = self.maps().order();
        match of_node(channel, known).await {
            Ok(Some(map)) => self.take_map(&map),
            Ok(None) => Ok(Offer::Known),
            Err(error) => {
                tracing::debug!(node = %replica.node, %error, "no map from the node");
                Ok(Offer::Known)
            }
        }
    }

    /// Looks for a newer map aside: at the group's nodes, which hear of it at once, and if they know none at the registry, which may be
    /// down. One look at a time.
    pub(crate) fn refresh(self: &Arc<Self>, home: HomeId) {
        if self.refreshing.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = shared.look(home).await {
                tracing::debug!(error = holdfast_domain::causes(&error), "no newer shard map");
            }
            shared.refreshing.store(false, Ordering::Release);
        });
    }

    async fn look(&self, home: HomeId) -> Result<(), Error> {
        const ACTION: &str = "look for a newer shard map";
        let route = self.maps().route(home);
        for replica in route.iter().flat_map(|route| &route.replicas) {
            if self.ask_node(ACTION, replica).await? == Offer::Taken {
                return Ok(());
            }
        }
        let epoch = self.maps().epoch();
        self.ask_registry(home, ACTION, epoch).await
    }

    /// Takes a map that verifies and is newer. One that is not is left alone: another call may have learned more meanwhile.
    pub(crate) fn take_map(&self, signed: &Signed<ShardMap>) -> Result<Offer, Error> {
        match self.maps().offer(signed) {
            Err(older @ MapRefused::Older { .. }) => {
                tracing::debug!(%older, "a shard map that is not the newest");
                Ok(Offer::Known)
            }
            other => Ok(other?),
        }
    }

    pub(crate) fn maps(&self) -> MutexGuard<'_, MapCache> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
