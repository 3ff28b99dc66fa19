//! Who may say what: the check of each frame before any state is touched.

use holdfast_domain::{GroupId, ReplicaId};

use crate::codec::VoteRecord;
use crate::net::wire::Request;
use crate::types::Vote;
use crate::{AuthenticatedPeer, Member, PeerId, Pin};

/// Why a frame was refused. The text form is the code on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not a request that this version understands.
    #[error("malformed")]
    Malformed,
    /// This process has no running replica of the group.
    #[error("unknown-group")]
    UnknownGroup,
    /// The replica of the group here is another one.
    #[error("wrong-replica")]
    WrongReplica,
    /// The peer's certificate or ban no longer allows it anything.
    #[error("not-trusted")]
    NotTrusted,
    /// The claimed sender is no member of the group, as far as this replica or a newer descriptor knows.
    #[error("not-a-member")]
    NotAMember,
    /// The peer's identity is not the claimed sender's.
    #[error("not-the-sender")]
    NotTheSender,
    /// The peer's TLS key is not the one pinned for the claimed sender.
    #[error("not-the-pinned-key")]
    NotThePinnedKey,
    /// The content speaks for another replica than the sender.
    #[error("speaks-for-another")]
    SpeaksForAnother,
    /// Too many requests of this peer are being handled.
    #[error("busy")]
    Busy,
}

impl Refusal {
    /// The code on the wire.
    pub(crate) fn code(self) -> String {
        self.to_string()
    }
}

/// Checks that `peer` is the member that it claims to be.
pub(crate) fn check_sender(
    group: GroupId,
    member: Option<&Member>,
    peer: &AuthenticatedPeer,
) -> Result<(), Refusal> {
    let Member { node, address: _, pin } = member.ok_or(Refusal::NotAMember)?;
    let AuthenticatedPeer { id, spki } = peer;
    if *id != PeerId::of_member(group, *node) {
        return Err(Refusal::NotTheSender);
    }
    match pin {
        Pin::Key(pinned) if pinned != spki => Err(Refusal::NotThePinnedKey),
        Pin::Key(_) | Pin::Certificate => Ok(()),
    }
}

/// Checks that a request speaks for its sender: only a leader sends its own entries, only a candidate asks for itself.
pub(crate) fn check_content(from: ReplicaId, request: &Request<'_>) -> Result<(), Refusal> {
    let (vote, leads): (&VoteRecord, bool) = match request {
        Request::Append(append) => (&append.vote, true),
        Request::SnapshotBegin { vote, .. } | Request::TransferLeader { vote, .. } => (vote, true),
        Request::Vote(ballot) | Request::PreVote(ballot) => (&ballot.vote, false),
        Request::SnapshotChunk { .. }
        | Request::SnapshotEnd { .. }
        | Request::Propose(_)
        | Request::ReadIndex => {
            return Ok(());
        }
    };
    let vote = Vote::from(*vote);
    if vote.leader_id.node_id == from.0 && vote.committed == leads {
        Ok(())
    } else {
        Err(Refusal::SpeaksForAnother)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{NodeId, SpkiHash};

    use super::*;

    const NODE: NodeId = NodeId::new([1; 16]);
    const KEY: SpkiHash = SpkiHash::new([2; 32]);

    fn member(pin: Pin) -> Member {
        Member { node: NODE, address: "a:1".into(), pin }
    }

    #[test]
    fn the_registrys_group_takes_registry_identities_only() {
        let node = AuthenticatedPeer { id: PeerId::Node(NODE), spki: KEY };
        let voter = AuthenticatedPeer { id: PeerId::Registry(NODE), spki: KEY };
        let member = member(Pin::Key(KEY));
        assert_eq!(check_sender(GroupId::REGISTRY, Some(&member), &voter), Ok(()));
        assert_eq!(check_sender(GroupId::REGISTRY, Some(&member), &node), Err(Refusal::NotTheSender));
        assert_eq!(check_sender(GroupId(1), Some(&member), &voter), Err(Refusal::NotTheSender));
        assert_eq!(check_sender(GroupId(1), Some(&member), &node), Ok(()));
    }

    #[test]
    fn another_key_than_the_pinned_one_is_refused() {
        let peer = AuthenticatedPeer { id: PeerId::Node(NODE), spki: SpkiHash::new([3; 32]) };
        assert_eq!(
            check_sender(GroupId(1), Some(&member(Pin::Key(KEY))), &peer),
            Err(Refusal::NotThePinnedKey)
        );
        assert_eq!(check_sender(GroupId(1), Some(&member(Pin::Certificate)), &peer), Ok(()));
    }

    #[test]
    fn a_stranger_is_refused() {
        let peer = AuthenticatedPeer { id: PeerId::Node(NODE), spki: KEY };
        assert_eq!(check_sender(GroupId(1), None, &peer), Err(Refusal::NotAMember));
    }
}
