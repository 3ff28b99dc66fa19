//! What a client signs to open a session with one node, and then for each request of a web session: written by the client, checked by
//! the node.

use holdfast_domain::{ClusterId, NodeId, UnixMs};

use crate::{
    hash::{LenPrefixed, sha256},
    labels,
};

/// What a session is good for beside its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionBinding<'a> {
    /// The connection with this TLS exporter.
    Connection(&'a [u8; 32]),
    /// Pages of this web origin, which sign each request.
    Origin(&'a str),
}

/// The opening of a session. Signed with `sign_raw` by the client's key.
#[derive(Debug, Clone, Copy)]
pub struct SessionOpening<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that gave the nonce: the session is good there and nowhere else.
    pub node: NodeId,
    /// The node's nonce.
    pub nonce: &'a [u8; 32],
    /// What the session is bound to.
    pub binding: SessionBinding<'a>,
    /// The end that the client wants; the node may set an earlier one.
    pub expires: UnixMs,
}

/// One request of a web session. Signed with `sign_raw` by the client's key.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest<'a> {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node that holds the session.
    pub node: NodeId,
    /// SHA-256 of the session's secret.
    pub session: &'a [u8; 32],
    /// `/package.Service/Method`.
    pub path: &'a str,
    /// The whole body as HTTP carries it: gRPC's framing included.
    pub body: &'a [u8],
    /// Never used before in this session.
    pub counter: u64,
}

impl SessionOpening<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, node, nonce, binding, expires } = self;
        let opening = LenPrefixed::new(labels::SESSION)
            .field(b"session/v1")
            .field(cluster.as_bytes())
            .field(node.as_bytes())
            .field(*nonce);
        let bound = match binding {
            SessionBinding::Connection(exporter) => opening.field(b"connection").field(*exporter),
            SessionBinding::Origin(origin) => opening.field(b"origin").field(origin.as_bytes()),
        };
        bound.number(expires.0).into_bytes()
    }
}

impl SessionRequest<'_> {
    /// The message, label included.
    pub fn message(&self) -> Vec<u8> {
        let Self { cluster, node, session, path, body, counter } = self;
        LenPrefixed::new(labels::CLIENT_REQUEST)
            .field(b"request/v1")
            .field(cluster.as_bytes())
            .field(node.as_bytes())
            .field(*session)
            .field(path.as_bytes())
            .field(&sha256(body))
            .number(*counter)
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Pages in browsers make the same bytes with code of their own.
    #[test]
    fn frozen_messages_are_made_again() {
        let (cluster, node) = (ClusterId::new([1; 16]), NodeId::new([2; 16]));
        let opening =
            |binding| SessionOpening { cluster, node, nonce: &[3; 32], binding, expires: UnixMs(4) };
        let (session, path, body) = (&[5; 32], "/a.B/C", b"\0\0\0\0\0".as_slice());
        let request = SessionRequest { cluster, node, session, path, body, counter: 6 };
        let lines = [
            opening(SessionBinding::Connection(&[7; 32])).message(),
            opening(SessionBinding::Origin("https://app.example.com")).message(),
            request.message(),
        ]
        .map(hex::encode);
        let frozen: Vec<_> = include_str!("../frozen/session-1.hex").lines().collect();
        assert_eq!(lines.to_vec(), frozen);
    }

    #[test]
    fn every_part_changes_the_message_of_an_opening() {
        let base = SessionOpening {
            cluster: ClusterId::new([1; 16]),
            node: NodeId::new([2; 16]),
            nonce: &[3; 32],
            binding: SessionBinding::Connection(&[b'a'; 32]),
            expires: UnixMs(4),
        };
        let text = "a".repeat(32);
        let all = [
            base,
            SessionOpening { cluster: ClusterId::new([9; 16]), ..base },
            SessionOpening { node: NodeId::new([9; 16]), ..base },
            SessionOpening { nonce: &[9; 32], ..base },
            SessionOpening { binding: SessionBinding::Connection(&[9; 32]), ..base },
            SessionOpening { binding: SessionBinding::Origin(&text), ..base },
            SessionOpening { expires: UnixMs(9), ..base },
        ];
        let distinct: BTreeSet<_> = all.iter().map(SessionOpening::message).collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn every_part_changes_the_message_of_a_request() {
        let base = SessionRequest {
            cluster: ClusterId::new([1; 16]),
            node: NodeId::new([2; 16]),
            session: &[3; 32],
            path: "/a.B/C",
            body: b"body",
            counter: 4,
        };
        let all = [
            base,
            SessionRequest { cluster: ClusterId::new([9; 16]), ..base },
            SessionRequest { node: NodeId::new([9; 16]), ..base },
            SessionRequest { session: &[9; 32], ..base },
            SessionRequest { path: "/a.B/D", ..base },
            SessionRequest { body: b"bodz", ..base },
            SessionRequest { counter: 5, ..base },
        ];
        let distinct: BTreeSet<_> = all.iter().map(SessionRequest::message).collect();
        assert_eq!(distinct.len(), all.len());
    }
}
