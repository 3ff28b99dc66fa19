//! Who may say what: the check of each frame before any state is touched.

use holdfast_domain::{GroupId, ReplicaId, UnixMs};

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
    /// The peer's certificate has ended.
    #[error("certificate-ended")]
    CertificateEnded,
    /// The content speaks for another replica than the sender.
    #[error("speaks-for-another")]
    SpeaksForAnother,
    /// The replica waits to learn what its peers remember of it, or it was rolled back.
    #[error("unproven")]
    Unproven,
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
    now: UnixMs,
) -> Result<(), Refusal> {
    let Member { node, address: _, pin } = member.ok_or(Refusal::NotAMember)?;
    let AuthenticatedPeer { id, spki, not_after } = peer;
    if *id != PeerId::of_member(group, *node) {
        return Err(Refusal::NotTheSender);
    }
    match pin {
        Pin::Key(pinned) if pinned != spki => Err(Refusal::NotThePinnedKey),
        Pin::Certificate if now >= *not_after => Err(Refusal::CertificateEnded),
        Pin::Key(_) | Pin::Certificate => Ok(()),
    }
}

/// Checks that a request speaks for its sender: only a leader sends its own entries, only a candidate asks for itself.
pub(crate) fn check_content(from: ReplicaId, request: &Request<'_>) -> Result<(), Refusal> {
    let (vote, leads): (&VoteRecord, bool) = match request {
        Request::Append(append) => (&append.vote, true),
        Request::SnapshotBegin { vote, .. }
        | Request::TransferLeader { vote, .. }
        | Request::Sleep { vote, .. } => (vote, true),
        Request::Vote(ballot) | Request::PreVote(ballot) => (&ballot.vote, false),
        Request::SnapshotChunk { .. }
        | Request::SnapshotEnd { .. }
        | Request::Propose(_)
        | Request::ReadIndex
        | Request::Floor
        | Request::CanLead => {
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

/// Whether a request is one that only voters make: leaders and candidates.
pub(crate) fn speaks_as_voter(request: &Request<'_>) -> bool {
    match request {
        Request::Append(_)
        | Request::SnapshotBegin { .. }
        | Request::TransferLeader { .. }
        | Request::Sleep { .. }
        | Request::Vote(_)
        | Request::PreVote(_) => true,
        Request::SnapshotChunk { .. }
        | Request::SnapshotEnd { .. }
        | Request::Propose(_)
        | Request::ReadIndex
        | Request::Floor
        | Request::CanLead => false,
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{NodeId, SpkiHash};

    use super::*;

    const NODE: NodeId = NodeId::new([1; 16]);
    const KEY: SpkiHash = SpkiHash::new([2; 32]);

    fn check(group: u32, pin: Pin, id: PeerId, spki: SpkiHash, now: u64) -> Result<(), Refusal> {
        let member = Member { node: NODE, address: "a:1".into(), pin };
        let peer = AuthenticatedPeer { id, spki, not_after: UnixMs(100) };
        check_sender(GroupId(group), Some(&member), &peer, UnixMs(now))
    }

    #[test]
    fn the_registrys_group_takes_registry_identities_only() {
        let (node, voter) = (PeerId::Node(NODE), PeerId::Registry(NODE));
        assert_eq!(check(0, Pin::Key(KEY), voter, KEY, 0), Ok(()));
        assert_eq!(check(0, Pin::Key(KEY), node, KEY, 0), Err(Refusal::NotTheSender));
        assert_eq!(check(1, Pin::Key(KEY), voter, KEY, 0), Err(Refusal::NotTheSender));
        assert_eq!(check(1, Pin::Key(KEY), node, KEY, 0), Ok(()));
        let other = PeerId::Node(NodeId::new([9; 16]));
        assert_eq!(check(1, Pin::Key(KEY), other, KEY, 0), Err(Refusal::NotTheSender));
    }

    #[test]
    fn another_key_than_the_pinned_one_is_refused() {
        let (node, other) = (PeerId::Node(NODE), SpkiHash::new([3; 32]));
        assert_eq!(check(1, Pin::Key(KEY), node, other, 0), Err(Refusal::NotThePinnedKey));
        assert_eq!(check(1, Pin::Certificate, node, other, 0), Ok(()));
    }

    #[test]
    fn a_pinned_key_outlives_its_certificate_and_a_certificate_does_not() {
        let node = PeerId::Node(NODE);
        assert_eq!(check(1, Pin::Key(KEY), node, KEY, 100), Ok(()));
        assert_eq!(check(1, Pin::Certificate, node, KEY, 99), Ok(()));
        assert_eq!(check(1, Pin::Certificate, node, KEY, 100), Err(Refusal::CertificateEnded));
    }

    #[test]
    fn a_stranger_is_refused() {
        let peer = AuthenticatedPeer { id: PeerId::Node(NODE), spki: KEY, not_after: UnixMs(100) };
        assert_eq!(check_sender(GroupId(1), None, &peer, UnixMs(0)), Err(Refusal::NotAMember));
    }

    #[test]
    fn who_only_asks_is_no_voter() {
        assert!(!speaks_as_voter(&Request::ReadIndex) && !speaks_as_voter(&Request::Propose(Vec::new())));
        let vote = VoteRecord::from(Vote::new_committed(1, 1));
        assert!(speaks_as_voter(&Request::TransferLeader { vote, to: 2, last: None }));
    }
}
