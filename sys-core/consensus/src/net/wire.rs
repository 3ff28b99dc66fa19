//! What the payload of a frame says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_domain::codec::CodecError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use serde::{Deserialize, Serialize};

use crate::codec::{self, Blob, DecodeError, EntryRecord, LogIdRecord, MetaRecord, VoteRecord};
use crate::freshness::Heard;
use crate::types::{Entry, LogId, Types, Vote};
use crate::{Floor, limits};

/// A request between members. Borrows from the frame.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request<'a> {
    /// A leader's entries, or its heartbeat.
    Append(#[serde(borrow)] Append<'a>),
    /// A candidate asks for a vote.
    Vote(Ballot),
    /// A follower asks whether it would get votes.
    PreVote(Ballot),
    /// A leader begins to send a snapshot, whose pieces together have at most so many bytes; or goes on with it after a break.
    SnapshotBegin { vote: VoteRecord, transfer: u64, meta: MetaRecord, bytes: u64 },
    /// A piece of it.
    SnapshotChunk {
        transfer: u64,
        index: u64,
        #[serde(borrow)]
        bytes: Blob<'a>,
    },
    /// Its end, with what all pieces together must be.
    SnapshotEnd { transfer: u64, chunks: u64, sha256: [u8; 32] },
    /// A leader tells every voter to whom it hands over.
    TransferLeader { vote: VoteRecord, to: u64, last: Option<LogIdRecord> },
    /// A member passes commands on to the leader.
    Propose(#[serde(borrow)] Vec<Blob<'a>>),
    /// A member asks the leader for the index that a linearizable read must wait for.
    ReadIndex,
    /// A member that starts asks what is remembered of it.
    Floor,
    /// A leader asks to sleep with it: its log ends here, all of it committed.
    Sleep { vote: VoteRecord, last: LogIdRecord },
    /// A leader that wants to hand over asks whether the member could lead.
    CanLead,
}

/// A process asks another whether it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ping;

/// The answer to a [`Ping`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pong {
    /// The process and what happened in it.
    pub(crate) life: Life,
    /// The groups whose replicas stopped last, the latest at the end.
    pub(crate) stopped: Vec<u32>,
    /// Its own pings do not reach the asker.
    pub(crate) deaf: bool,
}

/// A process, and how many of its replicas stopped so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) incarnation: u64,
    pub(crate) stops: u64,
}

/// See [`Request::Append`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Append<'a> {
    pub(crate) vote: VoteRecord,
    prev: Option<LogIdRecord>,
    commit: Option<LogIdRecord>,
    pub(crate) note: Note,
    #[serde(borrow)]
    entries: Vec<EntryRecord<'a>>,
    /// Of the entries, where they are sent.
    #[serde(skip)]
    room: usize,
}

/// What a leader tells beside its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// See [`Heard::echo`].
    pub(crate) echo: u64,
    /// See [`Heard::quorum_age`].
    pub(crate) quorum_age_ms: Option<u32>,
    /// See [`Heard::commit`]. The entries beside it may have been put together earlier.
    pub(crate) commit: Option<u64>,
    /// What members acknowledged, where it grew.
    pub(crate) floors: Vec<(u64, Floor)>,
}

impl<'a> Append<'a> {
    /// Entries with what goes beside them.
    pub(crate) fn new(request: &'a AppendEntriesRequest<Types>, note: Note) -> Self {
        let AppendEntriesRequest { vote, prev_log_id, entries, leader_commit } = request;
        Self {
            vote: (*vote).into(),
            prev: prev_log_id.map(Into::into),
            commit: leader_commit.map(Into::into),
            note,
            entries: entries.iter().map(Into::into).collect(),
            room: entries.iter().map(codec::room).sum(),
        }
    }

    /// Bytes that it takes, about.
    pub(crate) fn room(&self) -> usize {
        self.room.saturating_add(128)
    }
}

impl Append<'_> {
    /// What members acknowledged, without what cannot be: nobody acknowledged to a later leader than this one. `None` if it is too much.
    pub(crate) fn floors(&self) -> Option<Vec<(u64, Floor)>> {
        let floors = &self.note.floors;
        let latest = Vote::from(self.vote).leader_id.term;
        let can_be = |(_, floor): &&(u64, Floor)| floor.term <= latest && latest < limits::MAX_NUMBER;
        (floors.len() <= limits::MAX_FLOORS).then(|| floors.iter().filter(can_be).copied().collect())
    }

    /// What it says of the leader's standing.
    pub(crate) fn heard(&self) -> Heard {
        let Note { echo, quorum_age_ms, commit, floors: _ } = self.note;
        Heard { echo, quorum_age: quorum_age_ms.map(|age| Duration::from_millis(age.into())), commit }
    }

    /// The library's request, its commands sharing the frame's bytes.
    pub(crate) fn into_request(self, frame: &Bytes) -> Result<AppendEntriesRequest<Types>, DecodeError> {
        let Self { vote, prev, commit, note: _, entries, room: _ } = self;
        let prev_log_id: Option<LogId> = prev.map(Into::into);
        let entries = entries
            .into_iter()
            .map(|entry| entry.into_entry(frame))
            .collect::<Result<Vec<Entry>, DecodeError>>()?;
        let mut expected = prev_log_id.map_or(0, |id| id.index.saturating_add(1));
        let mut newest = prev_log_id.map(|id| id.leader_id);
        for entry in &entries {
            let found = entry.log_id.index;
            if found != expected || Some(entry.log_id.leader_id) < newest {
                return Err(DecodeError::Hole { expected, found });
            }
            expected = expected.saturating_add(1);
            newest = Some(entry.log_id.leader_id);
        }
        Ok(AppendEntriesRequest {
            vote: vote.into(),
            prev_log_id,
            entries,
            leader_commit: commit.map(Into::into),
        })
    }
}

/// A request for votes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub(crate) vote: VoteRecord,
    last: Option<LogIdRecord>,
    transfer: bool,
}

impl From<&VoteRequest<Types>> for Ballot {
    fn from(request: &VoteRequest<Types>) -> Self {
        let VoteRequest { vote, last_log_id, leadership_transfer } = request;
        Self { vote: (*vote).into(), last: last_log_id.map(Into::into), transfer: *leadership_transfer }
    }
}

impl From<Ballot> for VoteRequest<Types> {
    fn from(Ballot { vote, last, transfer }: Ballot) -> Self {
        Self { vote: vote.into(), last_log_id: last.map(Into::into), leadership_transfer: transfer }
    }
}

/// The answer to a [`Request`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response<'a> {
    /// To entries, with a stamp of the follower's clock.
    Append { appended: Appended, stamp: u64 },
    /// To a request for votes.
    Vote { vote: VoteRecord, granted: bool, last: Option<LogIdRecord> },
    /// To the beginning or a piece of a snapshot: go on with this piece.
    SnapshotReady { next: u64 },
    /// To the beginning, a piece or the end: this transfer is over; begin again if the snapshot is still wanted.
    SnapshotRefused,
    /// To the end of a snapshot: it is installed, or a newer vote is known.
    SnapshotInstalled { vote: VoteRecord },
    /// To a handover.
    TransferLeader { accepted: bool },
    /// To commands, one each.
    Proposed(#[serde(borrow)] Vec<Proposed<'a>>),
    /// To a read.
    ReadIndex(Option<u64>),
    /// The replica has stopped.
    Stopped,
    /// To a member that starts: the highest that it is known to have acknowledged, and how far the one that answers is itself.
    Floor { acknowledged: Option<Floor>, held: Floor },
    /// To a leader that wants to sleep: agreed, in this process; or not.
    Asleep(Option<Life>),
    /// To a leader that wants to hand over.
    CanLead(bool),
}

/// See [`Response::Append`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Appended {
    All,
    UpTo(Option<LogIdRecord>),
    Conflict,
    HigherVote(VoteRecord),
}

impl From<AppendEntriesResponse<Types>> for Appended {
    fn from(response: AppendEntriesResponse<Types>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::All,
            AppendEntriesResponse::PartialSuccess(upto) => Self::UpTo(upto.map(Into::into)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

impl Appended {
    /// The library's answer to `prev..=last` under `vote`. `None` for one that cannot be: the library would trust it.
    pub(crate) fn into_response(
        self,
        vote: &Vote,
        prev: Option<LogId>,
        last: Option<LogId>,
    ) -> Option<AppendEntriesResponse<Types>> {
        match self {
            Self::All => Some(AppendEntriesResponse::Success),
            Self::UpTo(upto) => {
                let upto = upto.map(LogId::from);
                (prev <= upto && upto <= last).then_some(AppendEntriesResponse::PartialSuccess(upto))
            }
            Self::Conflict => prev.map(|_| AppendEntriesResponse::Conflict),
            Self::HigherVote(higher) => {
                let higher = Vote::from(higher);
                (!matches!(
                    higher.partial_cmp(vote),
                    Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
                ))
                .then_some(AppendEntriesResponse::HigherVote(higher))
            }
        }
    }
}

impl From<VoteResponse<Types>> for Response<'_> {
    fn from(VoteResponse { vote, vote_granted, last_log_id }: VoteResponse<Types>) -> Self {
        Self::Vote { vote: vote.into(), granted: vote_granted, last: last_log_id.map(Into::into) }
    }
}

/// What became of one command that was passed on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Proposed<'a> {
    Applied {
        index: u64,
        #[serde(borrow)]
        result: Blob<'a>,
    },
    /// Certainly not accepted: ask somebody else.
    NotLeader,
    /// Certainly not accepted: ask later.
    Overloaded,
    /// May or may not be committed.
    Unknown,
}

/// Encodes a payload.
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Bytes, CodecError> {
    encode_about(message, 0)
}

/// As [`encode`], with room for about so many bytes from the start.
pub(crate) fn encode_about<T: Serialize>(message: &T, room: usize) -> Result<Bytes, CodecError> {
    let bytes = codec::encode_about(message, room)?;
    if bytes.len() > limits::MAX_FRAME_BYTES {
        return Err(CodecError::TooLong { len: bytes.len(), max: limits::MAX_FRAME_BYTES });
    }
    Ok(bytes.into())
}

/// Decodes a payload.
pub(crate) fn decode<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, CodecError> {
    codec::decode(payload, limits::MAX_FRAME_BYTES)
}

/// Commands of a [`Request::Propose`], sharing the frame's bytes.
pub(crate) fn commands(blobs: &[Blob<'_>], frame: &Bytes) -> Option<Arc<[Bytes]>> {
    let in_bounds = blobs.len() <= limits::MAX_BATCH_COMMANDS
        && blobs.iter().all(|Blob(command)| command.len() <= limits::MAX_COMMAND_BYTES);
    in_bounds.then(|| blobs.iter().map(|Blob(command)| frame.slice_ref(command)).collect())
}

#[cfg(test)]
mod tests;
