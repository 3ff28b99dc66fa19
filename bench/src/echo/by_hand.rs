//! The checks of one method, as a careful developer would write them into its handler.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use holdfast_certs::Peer;
use holdfast_domain::{ClientId, HomeId, SpiffeSubject};
use holdfast_proto::module::v1::Route;
use holdfast_sys_core::Clock;
use tonic::{Request, Status};

/// What it knows of callers.
#[derive(Clone)]
pub(super) struct ByHand {
    bans: Arc<RwLock<BTreeSet<ClientId>>>,
    clock: Clock,
}

impl ByHand {
    pub(super) fn new() -> Self {
        Self { bans: Arc::default(), clock: Clock::system() }
    }

    /// Lets a client with a valid, unbanned identity into its own home, and says so in the log.
    pub(super) fn check<T>(&self, request: &Request<T>, route: Option<&Route>) -> Result<(), Status> {
        let peer = request.extensions().get::<Peer>().ok_or(Status::internal("no peer"))?;
        let identity = peer.identity.as_ref().ok_or(Status::unauthenticated("no certificate"))?;
        let SpiffeSubject::Client(client) = identity.spiffe.subject else {
            return Err(Status::permission_denied("clients only"));
        };
        let own = identity.home.ok_or(Status::unauthenticated("no account"))?.account;
        let banned = self.bans.read().unwrap_or_else(PoisonError::into_inner).contains(&client);
        if banned || identity.not_after <= self.clock.now() {
            return Err(Status::unauthenticated("no longer valid"));
        }
        let route = route.ok_or(Status::invalid_argument("no route"))?;
        let home = route.home.as_ref().map(HomeId::try_from).transpose();
        let home = home.map_err(|_| Status::invalid_argument("no home"))?.unwrap_or(own.into());
        if home != own.into() {
            return Err(Status::permission_denied("another's home"));
        }
        let address = tracing::field::display(peer.addr);
        tracing::info!(target: "audit", decision = "allow", method = "PutSmall", %client, ?home, address);
        Ok(())
    }
}
