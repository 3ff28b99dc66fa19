//! What the guard asks of a request that is made in a session.

use std::sync::Arc;

use holdfast_certs::Peer;
use holdfast_domain::{Reason, Signature64};
use holdfast_keys::SessionRequest;
use http::HeaderMap;

pub(crate) use super::presented::is_presented;
use super::{
    SessionSettings, Sessions,
    live::{Bound, Session},
    presented,
};

/// A session that a request names, and what the request has yet to prove.
pub(crate) struct Held {
    session: Arc<Session>,
    proof: Option<Proof>,
}

/// A signed request's claim.
struct Proof {
    counter: u64,
    signature: Signature64,
}

impl Sessions {
    /// The session of a request. What is wrong with a secret, its connection or its origin is said with one word.
    pub(crate) fn hold(&self, headers: &HeaderMap, peer: &Peer) -> Result<Held, Reason> {
        let session = self.find(&presented::session(headers)?)?;
        let origin = presented::origin(headers)?;
        let proof = match &session.bound {
            Bound::Connection(exporter) if *exporter == peer.exporter => None,
            Bound::Connection(_) => return Err(Reason::SessionUnknown),
            Bound::Web(web) if origin == Some(web.origin.as_str()) => {
                let (counter, signature) = (presented::counter(headers)?, presented::signature(headers)?);
                Some(Proof { counter, signature })
            }
            Bound::Web(_) => return Err(Reason::SessionUnknown),
        };
        Ok(Held { session, proof })
    }

    /// Checks a signed request, whole, and uses its counter up.
    pub(crate) fn prove(&self, held: Held, path: &str, body: &[u8]) -> Result<Arc<Session>, Reason> {
        let Held { session, proof } = held;
        if let (Bound::Web(web), Some(Proof { counter, signature })) = (&session.bound, proof) {
            let SessionSettings { cluster, node, .. } = self.settings();
            let id = session.id.as_bytes();
            let request = SessionRequest { cluster: *cluster, node: *node, session: id, path, body, counter };
            let checked = web.key.verify_raw(&request.message(), &signature);
            checked.map_err(|_| Reason::SessionSignature)?;
            web.take(counter)?;
        }
        Ok(session)
    }
}

impl Held {
    /// Whether the request is signed, so that its body is needed first.
    pub(crate) const fn is_signed(&self) -> bool {
        self.proof.is_some()
    }
}
