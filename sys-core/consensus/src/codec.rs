//! The byte form of what the consensus library works with: on the wire, in the log, in snapshots and in machines.
//!
//! Our own structs, not the library's: a library upgrade cannot change the format. Entries decode into slices of the
//! one buffer that they arrived in. Every value that could make the library panic is refused here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::codec::CodecError;
use openraft::vote::RaftLeaderId as _;
use serde::{Deserialize, Serialize};

use crate::limits;
use crate::types::{
    Commands, Entry, LeaderId, LogId, Membership, Payload, SnapshotMeta, StoredMembership, Vote,
};
use crate::{Member, Pin};

/// Format version of everything in this module.
const VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not a value of the expected format.
    #[error("malformed")]
    Codec(#[from] CodecError),
    /// A membership without voters, with voters nobody knows, or beyond the limits.
    #[error("impossible membership: {0}")]
    Membership(String),
    /// Entries do not follow each other.
    #[error("entry {found} where {expected} should be")]
    Hole {
        /// The index that should come.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// An entry beyond the limits.
    #[error("entry {index} exceeds a limit")]
    TooLarge {
        /// Its index.
        index: u64,
    },
}

/// Encodes a value after the version byte.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    encode_about(value, 0)
}

/// As [`encode`], with room for about so many bytes from the start.
pub(crate) fn encode_about<T: Serialize>(value: &T, bytes: usize) -> Result<Vec<u8>, CodecError> {
    let mut buffer = Vec::with_capacity(bytes.saturating_add(64));
    buffer.push(VERSION);
    postcard::to_extend(value, buffer).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// Decodes a value that may borrow from `bytes`; everything must be consumed.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], max: usize) -> Result<T, CodecError> {
    if bytes.len() > max {
        return Err(CodecError::TooLong { len: bytes.len(), max });
    }
    let (&version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if version != VERSION {
        return Err(CodecError::Version(version));
    }
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|error| CodecError::Malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(CodecError::Trailing(rest.len())) }
}

/// Borrowed bytes that are written and read as one run, not one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Blob<'a>(pub(crate) &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A term or an index, within what can be counted on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64")]
struct Number(u64);

impl TryFrom<u64> for Number {
    type Error = &'static str;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        if number < limits::MAX_NUMBER { Ok(Self(number)) } else { Err("a number is beyond the limits") }
    }
}

/// A log position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogIdRecord {
    term: Number,
    leader: u64,
    index: Number,
}

impl From<LogId> for LogIdRecord {
    fn from(id: LogId) -> Self {
        Self { term: Number(id.leader_id.term), leader: id.leader_id.node_id, index: Number(id.index) }
    }
}

impl From<LogIdRecord> for LogId {
    fn from(LogIdRecord { term, leader, index }: LogIdRecord) -> Self {
        Self { leader_id: LeaderId::new(term.0, leader), index: index.0 }
    }
}

/// A vote, or a lead that a quorum granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteRecord {
    term: Number,
    candidate: u64,
    granted: bool,
}

impl From<Vote> for VoteRecord {
    fn from(vote: Vote) -> Self {
        Self { term: Number(vote.leader_id.term), candidate: vote.leader_id.node_id, granted: vote.committed }
    }
}

impl From<VoteRecord> for Vote {
    fn from(VoteRecord { term, candidate, granted }: VoteRecord) -> Self {
        Self { leader_id: LeaderId::new(term.0, candidate), committed: granted }
    }
}

/// A membership: one set of voters, or two while it changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MembershipRecord {
    configs: Vec<BTreeSet<u64>>,
    members: BTreeMap<u64, Member>,
}

impl From<&Membership> for MembershipRecord {
    fn from(membership: &Membership) -> Self {
        Self {
            configs: membership.get_joint_config().clone(),
            members: membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
        }
    }
}

impl TryFrom<MembershipRecord> for Membership {
    type Error = DecodeError;

    fn try_from(MembershipRecord { configs, members }: MembershipRecord) -> Result<Self, DecodeError> {
        let in_bounds = members.len() <= limits::MAX_MEMBERS
            && configs.len() <= 2
            && members.values().all(|Member { node: _, address, pin: Pin::Key(_) | Pin::Certificate }| {
                address.len() <= limits::MAX_ADDRESS_BYTES
            });
        if !in_bounds {
            return Err(DecodeError::Membership("beyond the limits".into()));
        }
        if configs.is_empty() && members.is_empty() {
            return Ok(Self::default());
        }
        Self::new(configs, members).map_err(|error| DecodeError::Membership(error.to_string()))
    }
}

/// The last membership with the position that set it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MetaRecord {
    applied: Option<LogIdRecord>,
    set_at: Option<LogIdRecord>,
    membership: MembershipRecord,
}

/// The `meta` of machines and snapshots: applied position and membership.
pub(crate) fn encode_meta(
    applied: Option<LogId>,
    membership: &StoredMembership,
) -> Result<Vec<u8>, CodecError> {
    encode(&MetaRecord {
        applied: applied.map(Into::into),
        set_at: (*membership.log_id()).map(Into::into),
        membership: membership.membership().into(),
    })
}

/// [`encode_meta`] for one membership and many positions: what does not change is encoded once.
pub(crate) struct MetaEncoder(Vec<u8>);

impl MetaEncoder {
    pub(crate) fn new(membership: &StoredMembership) -> Result<Self, CodecError> {
        // The position comes first, and none is one byte.
        let mut whole = encode_meta(None, membership)?;
        Ok(Self(whole.split_off(2)))
    }

    pub(crate) fn encode(&self, applied: Option<LogId>) -> Result<Vec<u8>, CodecError> {
        let mut meta = Vec::with_capacity(self.0.len() + 32);
        meta.push(VERSION);
        let applied: Option<LogIdRecord> = applied.map(Into::into);
        let mut meta =
            postcard::to_extend(&applied, meta).map_err(|error| CodecError::Malformed(error.to_string()))?;
        meta.extend_from_slice(&self.0);
        Ok(meta)
    }
}

/// See [`encode_meta`].
pub(crate) fn decode_meta(bytes: &[u8]) -> Result<SnapshotMeta, DecodeError> {
    decode::<MetaRecord>(bytes, limits::MAX_META_BYTES)?.try_into()
}

impl From<&SnapshotMeta> for MetaRecord {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            applied: meta.last_log_id.map(Into::into),
            set_at: (*meta.last_membership.log_id()).map(Into::into),
            membership: meta.last_membership.membership().into(),
        }
    }
}

impl TryFrom<MetaRecord> for SnapshotMeta {
    type Error = DecodeError;

    fn try_from(MetaRecord { applied, set_at, membership }: MetaRecord) -> Result<Self, DecodeError> {
        Ok(Self {
            last_log_id: applied.map(Into::into),
            last_membership: StoredMembership::new(set_at.map(Into::into), membership.try_into()?),
        })
    }
}

/// One log entry, borrowing its commands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryRecord<'a> {
    id: LogIdRecord,
    #[serde(borrow)]
    payload: PayloadRecord<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
enum PayloadRecord<'a> {
    Blank,
    #[serde(borrow)]
    Commands(Vec<Blob<'a>>),
    Membership(MembershipRecord),
}

impl<'a> From<&'a Entry> for EntryRecord<'a> {
    fn from(entry: &'a Entry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => PayloadRecord::Blank,
            Payload::Normal(commands) => {
                PayloadRecord::Commands(commands.0.iter().map(|command| Blob(command)).collect())
            }
            Payload::Membership(membership) => PayloadRecord::Membership(membership.into()),
        };
        Self { id: entry.log_id.into(), payload }
    }
}

impl EntryRecord<'_> {
    /// The entry, its commands sharing `buffer`, which it was decoded from.
    pub(crate) fn into_entry(self, buffer: &Bytes) -> Result<Entry, DecodeError> {
        let Self { id, payload } = self;
        let payload = match payload {
            PayloadRecord::Blank => Payload::Blank,
            PayloadRecord::Commands(commands) => {
                let total: usize = commands.iter().map(|Blob(command)| command.len()).sum();
                if commands.len() > limits::MAX_BATCH_COMMANDS || total > limits::MAX_ENTRY_BYTES {
                    return Err(DecodeError::TooLarge { index: id.index.0 });
                }
                let commands: Arc<[Bytes]> =
                    commands.into_iter().map(|Blob(command)| buffer.slice_ref(command)).collect();
                Payload::Normal(Commands(commands))
            }
            PayloadRecord::Membership(membership) => Payload::Membership(membership.try_into()?),
        };
        Ok(Entry { log_id: id.into(), payload })
    }
}

/// Bytes that an entry takes at most, or a little more.
pub(crate) fn room(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(commands) => {
            commands.bytes().saturating_add(commands.0.len().saturating_mul(4)).saturating_add(40)
        }
        Payload::Blank | Payload::Membership(_) => 40,
    }
}

/// Encodes an entry for the log.
pub(crate) fn encode_entry(entry: &Entry) -> Result<Vec<u8>, CodecError> {
    encode_about(&EntryRecord::from(entry), room(entry))
}

/// See [`encode_entry`].
pub(crate) fn decode_entry(bytes: Vec<u8>) -> Result<Entry, DecodeError> {
    let buffer = Bytes::from(bytes);
    decode::<EntryRecord<'_>>(&buffer, limits::MAX_ENTRY_BYTES)?.into_entry(&buffer)
}

#[cfg(test)]
mod tests;
