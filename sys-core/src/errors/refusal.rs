//! The refusal as a value, to and from a gRPC status.

use std::fmt;

use holdfast_domain::{MapEpoch, NodeId, Reason, ShardMap, Signed};
use holdfast_proto::error_details::{self as wire, Details};
use tonic::{Code, Status};

use super::code::grpc_code;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    detail: Option<Box<str>>,
    map: Option<Box<NewerMap>>,
    leader: Option<NodeId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NewerMap {
    epoch: MapEpoch,
    signed: Option<Signed<ShardMap>>,
}

/// A status that no refusal made: from the transport, a proxy, or a newer version.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the server answered {code}: {message}")]
pub struct NotARefusal {
    /// The status' code.
    pub code: Code,
    /// The status' text.
    pub message: String,
}

impl Refusal {
    /// A refusal for a reason.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, detail: None, map: None, leader: None }
    }

    /// Adds what the log should say; it never leaves the process.
    #[must_use]
    pub fn because(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string().into_boxed_str());
        self
    }

    /// The caller's map is stale: here is the newer one. A map that does not fit in a status' details is named by its epoch only,
    /// and the client asks for it.
    pub fn stale_map(epoch: MapEpoch, signed: Signed<ShardMap>) -> Self {
        Self {
            reason: Reason::StaleMap,
            detail: None,
            map: Some(Box::new(NewerMap { epoch, signed: Some(signed) })),
            leader: None,
        }
    }

    /// Another replica takes the group's writes.
    pub const fn not_leader(leader: NodeId) -> Self {
        Self { reason: Reason::NotLeader, detail: None, map: None, leader: Some(leader) }
    }

    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What the log should say.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Epoch of the server's newer map.
    pub fn newer_epoch(&self) -> Option<MapEpoch> {
        self.map.as_ref().map(|map| map.epoch)
    }

    /// The server's newer map; its signature is yet to be checked.
    pub fn newer_map(&self) -> Option<&Signed<ShardMap>> {
        self.map.as_ref().and_then(|map| map.signed.as_ref())
    }

    /// Who takes the group's writes, as far as the server knows.
    pub const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Reads the refusal out of a status.
    ///
    /// # Errors
    /// [`NotARefusal`] when the status carries no reason that this version knows.
    pub fn from_status(status: &Status) -> Result<Self, NotARefusal> {
        let other = || NotARefusal { code: status.code(), message: status.message().to_owned() };
        let Details { reason, map_epoch, map, leader } = wire::decode(status.details()).ok_or_else(other)?;
        let reason = reason.parse().map_err(|_| other())?;
        let map = map_epoch.map(|epoch| Box::new(NewerMap { epoch, signed: map }));
        Ok(Self { reason, detail: None, map, leader })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.text())?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

impl std::error::Error for Refusal {}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, detail, map, leader } = refusal;
        let code = grpc_code(reason);
        if reason == Reason::Internal {
            tracing::error!(reason = reason.code(), detail, "request failed");
        } else {
            tracing::debug!(reason = reason.code(), detail, "request refused");
        }
        let (map_epoch, map) = map.map_or((None, None), |map| (Some(map.epoch), map.signed));
        let details = Details { reason: reason.code().to_owned(), map_epoch, map, leader };
        Status::with_details(code, reason.text(), wire::encode(code, reason.text(), details))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::Signature64;

    use super::*;

    fn map(len: usize) -> Signed<ShardMap> {
        Signed::from_parts(vec![7; len], Signature64([1; 64]))
    }

    #[test]
    fn every_reason_survives_the_wire_and_its_detail_does_not() {
        for reason in Reason::ALL.iter().copied() {
            let status = Status::from(Refusal::new(reason).because("row 17 of /var/lib/secret"));
            assert_eq!(status.message(), reason.text());
            assert!(!format!("{status:?}").contains("secret"));
            assert_eq!(Refusal::from_status(&status).unwrap(), Refusal::new(reason));
            assert_ne!(status.code(), Code::Ok);
            assert_ne!(status.code(), Code::Unknown);
        }
    }

    #[test]
    fn a_stale_map_carries_the_newer_one() {
        let status = Status::from(Refusal::stale_map(MapEpoch(9), map(2000)));
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!(refusal.newer_epoch(), Some(MapEpoch(9)));
        assert_eq!(refusal.newer_map(), Some(&map(2000)));
    }

    #[test]
    fn a_follower_names_the_leader() {
        let refusal = Refusal::not_leader(NodeId::new([0xab; 16]));
        let status = Status::from(refusal.clone());
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(Refusal::from_status(&status).unwrap(), refusal);
    }

    #[test]
    fn a_map_too_large_for_a_header_is_named_by_epoch_only() {
        let status = Status::from(Refusal::stale_map(MapEpoch(9), map(100_000)));
        assert!(status.details().len() < wire::MAX_DETAILS_BYTES);
        let refusal = Refusal::from_status(&status).unwrap();
        assert_eq!((refusal.newer_epoch(), refusal.newer_map()), (Some(MapEpoch(9)), None));
    }

    #[test]
    fn a_status_without_our_details_is_no_refusal() {
        assert!(Refusal::from_status(&Status::unavailable("tcp connect error")).is_err());
        assert!(
            Refusal::from_status(&Status::with_details(Code::Aborted, "x", vec![0xff; 40].into())).is_err()
        );
    }
}
