//! Sessions: calls over a connection that shows no certificate, as browsers make them, and native clients that cannot show one.
//!
//! A [`Session`] signs a nonce of one node and is good there for at most five minutes; at half of that the next call signs in again by
//! itself. [`Session::channel`] is what generated clients are made of. When the connection of a [`Bound::Connection`] session ends, so does
//! the session: open another one.

mod channel;
mod held;

use std::sync::Arc;

use holdfast_certs::{Exporter, LiveIdentity};
use holdfast_domain::{ClusterId, NodeId, UnixMs};
use holdfast_keys::{ClientKey, SessionBinding, SessionOpening};
use holdfast_proto::session::v1::{
    ChallengeReply, ChallengeRequest, SignInReply, SignInRequest, SignOutRequest,
    sessions_client::SessionsClient, sign_in_request::Binding,
};
use tokio::sync::Mutex;
use tonic::{Status, transport::Channel};

use crate::{Error, error::Answer};
pub use channel::SessionChannel;
use held::Held;

const ACTION: &str = "sign in";

/// What a session is good for beside its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// The connection that it is opened on.
    Connection,
    /// Pages of a web origin that the node knows. Each request is signed.
    Origin(String),
}

/// Whose sessions these are.
#[derive(Clone)]
pub struct Signer {
    /// The cluster.
    pub cluster: ClusterId,
    /// The certificate of the moment.
    pub identity: LiveIdentity,
    /// Its key.
    pub key: Arc<ClientKey>,
}

/// A connection to a node, without a certificate.
#[derive(Clone)]
pub struct Connected {
    /// The channel. For [`Bound::Connection`] it must be the one connection that the exporter is of.
    pub channel: Channel,
    /// Equal at the node.
    pub exporter: Exporter,
    /// The node, as its own certificate says.
    pub node: NodeId,
}

/// A session with one node. Clones are one session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    signer: Signer,
    to: Connected,
    bound: Bound,
    held: Mutex<Option<Arc<Held>>>,
}

impl Session {
    /// Signs in.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(signer: Signer, to: Connected, bound: Bound) -> Result<Self, Error> {
        let session = Self(Arc::new(Inner { signer, to, bound, held: Mutex::default() }));
        session.renew().await?;
        Ok(session)
    }

    /// What generated clients are made of.
    pub fn channel(&self) -> SessionChannel {
        SessionChannel::new(self.clone())
    }

    /// Signs in anew, whatever was held before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn renew(&self) -> Result<(), Error> {
        let mut held = self.0.held.lock().await;
        *held = Some(Arc::new(self.sign_in().await?));
        Ok(())
    }

    /// When the node forgets the session that is held now; `None` when none is.
    pub async fn expires(&self) -> Option<UnixMs> {
        self.0.held.lock().await.as_ref().map(|held| held.expires)
    }

    /// Ends it, at the node too.
    ///
    /// # Errors
    /// See [`Error`]; it is forgotten here all the same.
    pub async fn sign_out(self) -> Result<(), Error> {
        let reply = SessionsClient::new(self.channel()).sign_out(SignOutRequest {}).await;
        self.0.held.lock().await.take();
        reply.map(|_| ()).map_err(|status| failed("sign out", &status))
    }

    /// The session to use for one call: this one, or at half of its life another.
    async fn current(&self) -> Result<Arc<Held>, Error> {
        let mut held = self.0.held.lock().await;
        match &*held {
            Some(held) if held.is_young() => Ok(Arc::clone(held)),
            _ => {
                let new = Arc::new(self.sign_in().await?);
                *held = Some(Arc::clone(&new));
                Ok(new)
            }
        }
    }

    /// The node does not know it (any more): the next call signs in.
    async fn forget(&self, used: &Arc<Held>) {
        let mut held = self.0.held.lock().await;
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, used)) {
            held.take();
        }
    }

    async fn sign_in(&self) -> Result<Held, Error> {
        let Inner { signer, to, bound, .. } = &*self.0;
        let mut client = SessionsClient::new(to.channel.clone());
        let challenge = client.challenge(ChallengeRequest {}).await;
        let challenge = challenge.map_err(|status| failed(ACTION, &status))?.into_inner();
        let request = signed(signer, to, bound, &challenge)?;
        let reply = client.sign_in(request).await.map_err(|status| failed(ACTION, &status))?;
        let SignInReply { session, expires_ms } = reply.into_inner();
        let secret = (&*session).try_into().map_err(|_| bad_reply("session"))?;
        Ok(Held::new(secret, UnixMs(expires_ms), UnixMs(challenge.server_time_ms)))
    }
}

/// The answer to a challenge. Cluster and node are what this end knows them to be, not what the challenge says.
fn signed(
    signer: &Signer,
    to: &Connected,
    bound: &Bound,
    challenge: &ChallengeReply,
) -> Result<SignInRequest, Error> {
    let ChallengeReply { cluster_id: _, node_id: _, nonce, server_time_ms } = challenge;
    let expires = UnixMs(*server_time_ms).plus_ms(crate::limits::SESSION_MS);
    let (binding, wire) = match bound {
        Bound::Connection => {
            let exporter = to.exporter.as_bytes();
            (SessionBinding::Connection(exporter), Binding::Connection(exporter.to_vec().into()))
        }
        Bound::Origin(origin) => (SessionBinding::Origin(origin), Binding::Origin(origin.clone())),
    };
    let opening = SessionOpening {
        cluster: signer.cluster,
        node: to.node,
        nonce: &(&**nonce).try_into().map_err(|_| bad_reply("nonce"))?,
        binding,
        expires,
    };
    let chain = signer.identity.current();
    Ok(SignInRequest {
        chain: chain.chain().ders().iter().map(|der| der.clone().into()).collect(),
        nonce: nonce.clone(),
        expires_ms: expires.0,
        signature: signer.key.sign_raw(&opening.message()).0.to_vec().into(),
        binding: Some(wire),
    })
}

fn failed(action: &str, status: &Status) -> Error {
    Answer::of(status).into_error(action, std::time::Duration::ZERO)
}

fn bad_reply(what: &'static str) -> Error {
    Error::Reply { action: ACTION.to_owned(), what }
}

#[cfg(test)]
mod tests;
