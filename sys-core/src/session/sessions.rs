//! Opening, finding and ending sessions. Clones share them.

use std::sync::Arc;

use holdfast_certs::Peer;
use holdfast_domain::{ClientId, Reason, SpiffeSubject, UnixMs};
use holdfast_keys::random_array;
use holdfast_proto::session::v1::SignInRequest;

use super::{
    SessionSettings,
    challenges::Challenges,
    live::Session,
    presented::SessionId,
    sign_in::{Proven, SignIn},
    table::Table,
};
use crate::{bans::BanList, clock::Clock, errors::Refusal};

/// The sessions of a server.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Inner>);

struct Inner {
    settings: SessionSettings,
    bans: BanList,
    clock: Clock,
    challenges: Challenges,
    table: Table,
}

/// A session for its client.
pub(super) struct Opened {
    pub(super) secret: [u8; 32],
    pub(super) expires: UnixMs,
    pub(super) client: ClientId,
}

impl Sessions {
    pub(crate) fn new(settings: SessionSettings, bans: BanList, clock: Clock) -> Self {
        let (challenges, table) = (Challenges::none(), Table::default());
        Self(Arc::new(Inner { settings, bans, clock, challenges, table }))
    }

    pub(super) fn settings(&self) -> &SessionSettings {
        &self.0.settings
    }

    pub(super) fn now(&self) -> UnixMs {
        self.0.clock.now()
    }

    pub(super) fn challenge(&self, peer: &Peer) -> Result<[u8; 32], Refusal> {
        self.0.challenges.make(peer.addr.ip(), self.now())
    }

    pub(super) fn sign_in(&self, peer: &Peer, request: SignInRequest) -> Result<Opened, Refusal> {
        let Inner { settings, bans, challenges, table, .. } = &*self.0;
        if peer.identity.is_some() {
            return Err(Refusal::new(Reason::Malformed).because("the connection has an identity already"));
        }
        let (now, request) = (self.now(), SignIn::try_from(request)?);
        challenges.take(&request.nonce, now)?;
        let Proven { identity, bound } = request.prove(settings, peer, now)?;
        if bans.bans(&identity) {
            return Err(Reason::Banned.into());
        }
        let SpiffeSubject::Client(client) = identity.spiffe.subject else {
            return Err(Reason::SessionSignature.into());
        };
        let secret = random_array().map_err(|error| Refusal::new(Reason::Internal).because(error))?;
        let expires = identity.not_after;
        table.add(Session::new(SessionId::of(&secret), client, Arc::new(identity), bound), now)?;
        Ok(Opened { secret, expires, client })
    }

    pub(super) fn find(&self, id: &SessionId) -> Result<Arc<Session>, Reason> {
        self.0.table.find(id, self.now())
    }

    pub(super) fn end(&self, session: &Session) {
        self.0.table.remove(&session.id);
    }
}
