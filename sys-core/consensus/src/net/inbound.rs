//! What a replica does with an admitted frame.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_domain::ReplicaId;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest};
use tokio::time::Instant;

use super::transfer::Incoming;
use super::wire::{self, Append, Proposed, Request, Response};
use super::{Refusal, gate};
use crate::Floor;
use crate::codec::{Blob, MetaRecord, VoteRecord};
use crate::freshness::Heard;
use crate::propose::Fate;
use crate::replica::Replica;
use crate::types::{SnapshotMeta, Types};

/// Decodes, checks and answers a request of member `from`.
pub(crate) async fn handle(
    replica: &Arc<Replica>,
    from: ReplicaId,
    payload: Bytes,
) -> Result<Bytes, Refusal> {
    let request: Request<'_> = wire::decode(&payload).map_err(|_| Refusal::Malformed)?;
    gate::check_content(from, &request)?;
    if !matches!(request, Request::Floor) && !replica.admits(from, gate::speaks_as_voter(&request)).await {
        return Err(Refusal::Unproven);
    }
    let response = match request {
        Request::Propose(commands) => {
            let commands = wire::commands(&commands, &payload).ok_or(Refusal::Malformed)?;
            return propose(replica, &commands).await;
        }
        Request::ReadIndex => Response::ReadIndex(replica.read_index_as_leader().await),
        Request::Floor => Response::Floor { acknowledged: replica.floors().of(from), held: replica.held() },
        Request::CanLead => Response::CanLead(replica.can_lead()),
        Request::Sleep { vote, last } => {
            Response::Asleep(replica.agree_to_sleep(from, vote.into(), last.into()).await)
        }
        request => {
            // Not asked once it stops: the library would call that an error.
            let Some(_entered) = replica.enter() else { return Err(Refusal::UnknownGroup) };
            protocol(replica, from, request, &payload).await?
        }
    };
    wire::encode(&response).map_err(|_| Refusal::Malformed)
}

/// As [`handle`], for a leader's entries to a replica that takes part, which are by far the most: what is to be done is all in the future,
/// and its first step hands the entries to the library. `None` for everything else.
pub(crate) fn appended(
    replica: &Arc<Replica>,
    from: ReplicaId,
    payload: &Bytes,
) -> Option<impl Future<Output = Result<Bytes, Refusal>> + Send + use<>> {
    let Ok(request @ Request::Append(_)) = wire::decode(payload) else { return None };
    if !replica.proof().is_proven() {
        return None;
    }
    let checked = gate::check_content(from, &request);
    let Request::Append(append) = request else { return None };
    let told = checked.and_then(|()| Told::by(append, payload));
    let replica = replica.clone();
    Some(async move {
        let told = told?;
        // Not asked once it stops: the library would call that an error.
        let Some(_entered) = replica.enter() else { return Err(Refusal::UnknownGroup) };
        wire::encode(&enter(&replica, told).await).map_err(|_| Refusal::Malformed)
    })
}

/// What a leader sent, taken out of its frame.
struct Told {
    heard: Heard,
    floors: Vec<(u64, Floor)>,
    request: AppendEntriesRequest<Types>,
}

impl Told {
    fn by(append: Append<'_>, payload: &Bytes) -> Result<Self, Refusal> {
        Ok(Self {
            heard: append.heard(),
            floors: append.floors().ok_or(Refusal::Malformed)?,
            request: append.into_request(payload).map_err(|_| Refusal::Malformed)?,
        })
    }
}

async fn enter(replica: &Arc<Replica>, told: Told) -> Response<'static> {
    let Told { heard, floors, request } = told;
    let Ok(answer) = replica.raft().append_entries(request).await else { return Response::Stopped };
    let now = Instant::now();
    if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
        replica.freshness().hear(now, heard);
        if !floors.is_empty() {
            let of_members: Vec<_> =
                floors.into_iter().filter(|(id, _)| replica.member(ReplicaId(*id)).is_some()).collect();
            replica.floors().hear(&of_members, replica.held().index);
        }
        // Handled first: only now the silence before it no longer counts.
        replica.wake();
    }
    Response::Append { appended: answer.into(), stamp: replica.freshness().stamp(now) }
}

/// What the library answers.
async fn protocol(
    replica: &Arc<Replica>,
    from: ReplicaId,
    request: Request<'_>,
    payload: &Bytes,
) -> Result<Response<'static>, Refusal> {
    let raft = replica.raft();
    Ok(match request {
        Request::Append(told) => enter(replica, Told::by(told, payload)?).await,
        Request::Vote(_) | Request::PreVote(_) if replica.leader_objects(from).await => {
            Response::Vote { vote: replica.vote().into(), granted: false, last: None }
        }
        Request::Vote(ballot) => {
            let answer = raft.vote(ballot.into()).await.map_or(Response::Stopped, Into::into);
            replica.wake();
            answer
        }
        Request::PreVote(ballot) => {
            let answer = raft.pre_vote(ballot.into()).await.map_or(Response::Stopped, Into::into);
            replica.wake();
            answer
        }
        Request::SnapshotBegin { vote, transfer, meta, bytes } => {
            begin(replica, from, vote, transfer, meta, bytes).await?
        }
        Request::SnapshotChunk { transfer, index, bytes: Blob(bytes) } => {
            add(replica, from, transfer, index, payload.slice_ref(bytes)).await
        }
        Request::SnapshotEnd { transfer, chunks, sha256 } => {
            end(replica, from, transfer, chunks, sha256).await
        }
        Request::TransferLeader { to, .. } if to == replica.id().0 && !replica.can_lead() => {
            Response::TransferLeader { accepted: false }
        }
        Request::TransferLeader { vote, to, last } => {
            let request = TransferLeaderRequest::new(vote.into(), to, last.map(Into::into));
            let answer = raft.handle_transfer_leader(request).await;
            replica.wake();
            match answer {
                Ok(answer) => Response::TransferLeader { accepted: answer.is_ok() },
                Err(_) => Response::Stopped,
            }
        }
        // Answered by the caller.
        Request::Propose(_)
        | Request::ReadIndex
        | Request::Floor
        | Request::Sleep { .. }
        | Request::CanLead => Response::Stopped,
    })
}

async fn propose(replica: &Replica, commands: &[Bytes]) -> Result<Bytes, Refusal> {
    let fates = replica.propose_as_leader(commands).await;
    let answers = fates
        .iter()
        .map(|fate| match fate {
            Ok(applied) => Proposed::Applied { index: applied.index, result: Blob(&applied.result) },
            Err(Fate::NotLeader(_) | Fate::NoLeader) => Proposed::NotLeader,
            Err(Fate::Overloaded) => Proposed::Overloaded,
            Err(Fate::Unknown | Fate::Stopped) => Proposed::Unknown,
        })
        .collect();
    wire::encode(&Response::Proposed(answers)).or_else(|_| {
        // Results beyond one frame: they are applied, but nobody learns what they were.
        let unknown = commands.iter().map(|_| Proposed::Unknown).collect();
        wire::encode(&Response::Proposed(unknown)).map_err(|_| Refusal::Malformed)
    })
}

async fn begin(
    replica: &Replica,
    from: ReplicaId,
    vote: VoteRecord,
    transfer: u64,
    meta: MetaRecord,
    bytes: u64,
) -> Result<Response<'static>, Refusal> {
    let meta = SnapshotMeta::try_from(meta).map_err(|_| Refusal::Malformed)?;
    let mut incoming = replica.incoming().lock().await;
    if let Some(current) = incoming.as_mut()
        && current.resumes(from, vote, transfer, &meta)
    {
        return Ok(Response::SnapshotReady { next: current.next() });
    }
    // The file of an earlier transfer goes away before the new one takes its room.
    drop(incoming.take());
    let snapshots = replica.snapshots().clone();
    let begin = move || Incoming::begin(&snapshots, from, vote, transfer, meta, bytes);
    let begun = tokio::task::spawn_blocking(begin).await;
    match begun {
        Ok(Ok(begun)) => {
            *incoming = Some(begun);
            Ok(Response::SnapshotReady { next: 0 })
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "incoming_snapshot_not_written");
            Ok(Response::SnapshotRefused)
        }
        Err(_) => Ok(Response::SnapshotRefused),
    }
}

async fn add(
    replica: &Replica,
    from: ReplicaId,
    transfer: u64,
    index: u64,
    bytes: Bytes,
) -> Response<'static> {
    let mut incoming = replica.incoming().lock().await;
    let Some(current) = incoming.take_if(|current| current.is(from, transfer)) else {
        return Response::SnapshotRefused;
    };
    let added = tokio::task::spawn_blocking(move || current.add(index, &bytes)).await;
    *incoming = added.ok().flatten();
    incoming
        .as_ref()
        .map_or(Response::SnapshotRefused, |current| Response::SnapshotReady { next: current.next() })
}

async fn end(
    replica: &Replica,
    from: ReplicaId,
    transfer: u64,
    chunks: u64,
    sha256: [u8; 32],
) -> Response<'static> {
    let current = replica.incoming().lock().await.take_if(|current| current.is(from, transfer));
    let Some(current) = current else { return Response::SnapshotRefused };
    let ended = tokio::task::spawn_blocking(move || current.end(chunks, sha256)).await;
    let Ok(Some((vote, snapshot))) = ended else { return Response::SnapshotRefused };
    match replica.raft().install_full_snapshot(vote, snapshot).await {
        Ok(answer) => Response::SnapshotInstalled { vote: answer.vote.into() },
        Err(_) => Response::Stopped,
    }
}
