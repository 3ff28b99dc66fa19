//! Whom we dial, by identity; an address alone says nothing.

use std::{collections::BTreeSet, fmt};

use holdfast_domain::{NodeId, SpiffeSubject, SpkiHash};

use crate::{PeerIdentity, PinnedPeers, VerifyError};

/// The server that must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedServer {
    /// Any `/registry/<id>`.
    AnyRegistry,
    /// `/registry/<id>` with this id.
    Registry(NodeId),
    /// `/node/<id>` with this id.
    Node(NodeId),
    /// `/registry/<id>` with this id and key, whatever its leaf's expiry: a voter dialing a voter.
    PinnedRegistry {
        /// The voter.
        id: NodeId,
        /// Its key in the membership.
        spki: SpkiHash,
    },
    /// Exactly this identity.
    Exactly(SpiffeSubject),
}

impl ExpectedServer {
    pub(crate) fn check(&self, server: &PeerIdentity) -> Result<(), VerifyError> {
        let subject = &server.spiffe.subject;
        let met = match self {
            Self::AnyRegistry => matches!(subject, SpiffeSubject::Registry(_)),
            Self::Registry(id) => *subject == SpiffeSubject::Registry(*id),
            Self::Node(id) => *subject == SpiffeSubject::Node(*id),
            Self::PinnedRegistry { id, spki } => {
                *subject == SpiffeSubject::Registry(*id) && server.spki_hash == *spki
            }
            Self::Exactly(expected) => subject == expected,
        };
        let refusal = || VerifyError::NotExpected { expected: self.to_string(), actual: subject.clone() };
        met.then_some(()).ok_or_else(refusal)
    }

    pub(crate) fn pinned(&self) -> PinnedPeers {
        match self {
            Self::PinnedRegistry { spki, .. } => PinnedPeers::new(BTreeSet::from([*spki])),
            _ => PinnedPeers::none(),
        }
    }
}

impl fmt::Display for ExpectedServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyRegistry => f.write_str("any registry"),
            Self::Registry(id) => write!(f, "/registry/{id}"),
            Self::Node(id) => write!(f, "/node/{id}"),
            Self::PinnedRegistry { id, spki } => write!(f, "/registry/{id} with key {spki}"),
            Self::Exactly(subject) => write!(f, "{subject}"),
        }
    }
}
