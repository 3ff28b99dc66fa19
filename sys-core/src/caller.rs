//! Who calls: what the guard proved about a request before a handler sees it.

use std::fmt;

use holdfast_domain::{Audience, ClientId, Home, NodeId, OperatorName, Reason};

use crate::errors::Refusal;

/// The authenticated caller of one request, put into the request's extensions by the guard.
///
/// A handler takes it from the extensions ([`Caller::of`]) and from nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A connection without an identity.
    Anonymous,
    /// A client key of an account.
    Client {
        /// The key.
        client: ClientId,
        /// Its account, and what the account's own home may store.
        home: Home,
    },
    /// A shard node.
    Node(NodeId),
    /// A registry voter or learner.
    Registry(NodeId),
    /// An operator.
    Operator(OperatorName),
}

/// A request that did not pass the guard: a server was assembled without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request carries no caller: the server lacks its guard")]
pub struct Unguarded;

impl Caller {
    /// The kind of caller, as rules name it.
    pub const fn audience(&self) -> Audience {
        match self {
            Self::Anonymous => Audience::Public,
            Self::Client { .. } => Audience::Client,
            Self::Node(_) => Audience::Node,
            Self::Registry(_) => Audience::Registry,
            Self::Operator(_) => Audience::Operator,
        }
    }

    /// The client key and its home, for what only clients do.
    ///
    /// # Errors
    /// `NotPermitted` for everybody else.
    pub fn client(&self) -> Result<(ClientId, &Home), Refusal> {
        match self {
            Self::Client { client, home } => Ok((*client, home)),
            _ => Err(Refusal::new(Reason::NotPermitted).because("only clients have a home")),
        }
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// [`Unguarded`] when no guard put one there; it becomes INTERNAL.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Unguarded> {
        request.extensions().get::<Self>().ok_or(Unguarded)
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Client { client, home } => write!(f, "client/{client}@{}", home.account),
            Self::Node(id) => write!(f, "node/{id}"),
            Self::Registry(id) => write!(f, "registry/{id}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
        }
    }
}

impl From<Unguarded> for tonic::Status {
    fn from(error: Unguarded) -> Self {
        tracing::error!(%error, "request without a caller");
        Self::internal("internal error")
    }
}
