//! One session.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use holdfast_certs::{Exporter, PeerIdentity};
use holdfast_domain::{ClientId, Reason, UnixMs};
use holdfast_keys::ClientPublic;

use super::{origin::WebOrigin, presented::SessionId, window::Window};

/// A session that was opened. What it is known by is the hash of its secret, which nobody keeps.
pub(crate) struct Session {
    pub(super) id: SessionId,
    pub(super) client: ClientId,
    /// The certificate's, ending with the session.
    pub(super) identity: Arc<PeerIdentity>,
    pub(super) bound: Bound,
    ended: AtomicBool,
}

/// What a session is good for beside its secret.
pub(super) enum Bound {
    /// The connection with this exporter.
    Connection(Exporter),
    /// Pages of an origin, with a signature over each request.
    Web(Box<Web>),
}

pub(super) struct Web {
    pub(super) origin: WebOrigin,
    pub(super) key: ClientPublic,
    used: Mutex<Window>,
}

impl Web {
    pub(super) const fn new(origin: WebOrigin, key: ClientPublic) -> Self {
        Self { origin, key, used: Mutex::new(Window::new()) }
    }

    /// Uses a counter up, once its request has proven itself.
    pub(super) fn take(&self, counter: u64) -> Result<(), Reason> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.take(counter).map_err(|_| Reason::SessionReplayed)
    }
}

impl Session {
    pub(super) const fn new(
        id: SessionId,
        client: ClientId,
        identity: Arc<PeerIdentity>,
        bound: Bound,
    ) -> Self {
        Self { id, client, identity, bound, ended: AtomicBool::new(false) }
    }

    /// When it is over at the latest.
    pub(super) fn end(&self) -> UnixMs {
        self.identity.not_after
    }

    /// Over, for the calls that go on in it too.
    pub(super) fn end_now(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it has not ended. Its end in time is the identity's, which whoever authenticates looks at.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// What stands in place of the connection's identity.
    pub(crate) fn identity(&self) -> Arc<PeerIdentity> {
        Arc::clone(&self.identity)
    }
}
