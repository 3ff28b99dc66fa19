//! Sessions: callers whose connection shows no certificate, such as browsers.
//!
//! A client signs a nonce of this node with the key of its certificate and gets a secret. A request that carries the secret is treated
//! as if its connection had shown that certificate: the guard puts the session's [`Peer`](holdfast_certs::Peer) in place of the
//! connection's, and everything behind (bans, expiry, rules, policies, audit) is the one path of all callers.
//!
//! Invariants:
//! - a session ends after five minutes, with the certificate, or when its client signs out, whichever comes first; another one needs
//!   another nonce and another signature, so nothing that was ever sent prolongs it;
//! - it says who, never what: no role, no right is in it; it is known to this process only, by the hash of its secret;
//! - its secret alone is worth nothing: it is good on the connection that was signed, or, for a web origin, with a signature over each
//!   request by the client's key and a counter that was not used;
//! - what strangers can make the node keep is bounded in [`limits`].

mod challenges;
mod guarding;
pub(crate) mod limits;
mod live;
mod origin;
mod presented;
mod service;
mod sessions;
mod sign_in;
mod table;
mod window;

use std::collections::BTreeSet;

use holdfast_certs::LiveTrust;
use holdfast_domain::{ClusterId, NodeId};

pub(crate) use guarding::is_presented;
pub(crate) use live::Session;
pub use origin::{WebOrigin, WebOriginError};
pub(crate) use service::SessionsService;
pub(crate) use sessions::Sessions;

/// What a server with sessions needs to know.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// The cluster.
    pub cluster: ClusterId,
    /// This server: what its clients sign names it.
    pub node: NodeId,
    /// What clients' certificates are checked against.
    pub trust: LiveTrust,
    /// Whose pages may hold sessions; none means that only native clients do.
    pub web_origins: BTreeSet<WebOrigin>,
}

#[cfg(test)]
mod tests;
