//! Snapshots between members: piece by piece, one in flight, the whole checked by its hash.

use std::io::Write as _;
use std::time::Duration;

use holdfast_domain::ReplicaId;
use openraft::error::{RPCError, StreamingError, Unreachable};
use openraft::network::RPCTypes;
use openraft::raft::SnapshotResponse;
use sha2::{Digest as _, Sha256};

use super::client::PeerCall;
use super::wire::{Request, Response};
use crate::codec::{Blob, MetaRecord, VoteRecord};
use crate::snapshot::{NewSnapshot, SnapshotFile, SnapshotStore};
use crate::types::{SnapshotMeta, Types, Vote};

type Snapshot = openraft::type_config::alias::SnapshotOf<Types, SnapshotFile>;

/// Patience for one piece, a sync of the receiver's disk included.
const PIECE_PATIENCE: Duration = Duration::from_secs(20);
/// Patience for the end: the receiver installs before it answers.
const INSTALL_PATIENCE: Duration = Duration::from_secs(600);

/// Sends a snapshot and waits until it is installed or no longer wanted.
pub(super) async fn send(
    peer: &PeerCall,
    vote: Vote,
    snapshot: Snapshot,
) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
    let Snapshot { meta, snapshot } = snapshot;
    // Our own file does not open: that is no reason to stop leading, but somebody must look.
    let unreadable = |error: std::io::Error| {
        tracing::error!(%error, "snapshot_unreadable");
        StreamingError::Unreachable(Unreachable::new(&error))
    };
    // Names the transfer: a new one to the same member replaces it.
    let transfer = started_ms();
    let begin = Request::SnapshotBegin { vote: vote.into(), transfer, meta: MetaRecord::from(&meta) };
    go_on(peer, &begin).await?;
    let mut reader = snapshot.reader().map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut index = 0;
    loop {
        let read = tokio::task::spawn_blocking(move || (reader.chunk(), reader)).await;
        let chunk;
        (chunk, reader) = read.map_err(|error| unreadable(std::io::Error::other(error)))?;
        let Some(bytes) = chunk.map_err(unreadable)? else { break };
        hash.update(&bytes);
        go_on(peer, &Request::SnapshotChunk { transfer, index, bytes: Blob(&bytes) }).await?;
        index += 1;
    }
    let end = Request::SnapshotEnd { transfer, chunks: index, sha256: hash.finalize().into() };
    let installed = peer.ask(&end, INSTALL_PATIENCE, |response: Response<'_>| match response {
        Response::SnapshotInstalled { vote } => Some(vote),
        _ => None,
    });
    let vote = installed.await.map_err(|error| failed(peer, INSTALL_PATIENCE, error))?;
    Ok(SnapshotResponse::new(vote.into()))
}

async fn go_on(peer: &PeerCall, request: &Request<'_>) -> Result<(), StreamingError<Types>> {
    let ready = |response: Response<'_>| matches!(response, Response::SnapshotReady).then_some(());
    peer.ask(request, PIECE_PATIENCE, ready).await.map_err(|error| failed(peer, PIECE_PATIENCE, error))
}

fn failed(peer: &PeerCall, patience: Duration, error: super::CallError) -> StreamingError<Types> {
    match peer.failed(RPCTypes::InstallSnapshot, patience, error) {
        RPCError::Timeout(error) => StreamingError::Timeout(error),
        RPCError::Unreachable(error) => StreamingError::Unreachable(error),
        RPCError::Network(error) => StreamingError::Network(error),
        RPCError::RemoteError(error) => match error.source {},
    }
}

fn started_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A snapshot on its way in. One a replica: a new one replaces it.
pub(crate) struct Incoming {
    from: ReplicaId,
    vote: VoteRecord,
    transfer: u64,
    next: u64,
    hash: Sha256,
    file: NewSnapshot,
}

impl Incoming {
    /// Begins a file for it. Blocking.
    pub(super) fn begin(
        snapshots: &std::sync::Arc<SnapshotStore>,
        from: ReplicaId,
        vote: VoteRecord,
        transfer: u64,
        meta: SnapshotMeta,
    ) -> std::io::Result<Self> {
        Ok(Self { from, vote, transfer, next: 0, hash: Sha256::new(), file: snapshots.create(meta, false)? })
    }

    /// Whether a piece is of this transfer.
    pub(super) fn is(&self, from: ReplicaId, transfer: u64) -> bool {
        self.from == from && self.transfer == transfer
    }

    /// Takes the next piece; `None` when it is not the next, or the disk failed. Blocking.
    pub(super) fn add(mut self, index: u64, bytes: &[u8]) -> Option<Self> {
        if index != self.next {
            return None;
        }
        self.hash.update(bytes);
        let written = self.file.writer().write_all(bytes);
        if let Err(error) = written {
            tracing::warn!(%error, "incoming_snapshot_not_written");
            return None;
        }
        self.next += 1;
        Some(self)
    }

    /// The complete, synced snapshot, if it is what was sent. Blocking.
    pub(super) fn end(self, chunks: u64, sha256: [u8; 32]) -> Option<(Vote, Snapshot)> {
        let Self { from, vote, transfer: _, next, hash, file } = self;
        let whole = next == chunks && <[u8; 32]>::from(hash.finalize()) == sha256;
        if !whole {
            tracing::warn!(%from, "incoming_snapshot_differs_from_its_hash");
            return None;
        }
        match file.finish() {
            Ok((meta, snapshot)) => Some((vote.into(), Snapshot { meta, snapshot })),
            Err(error) => {
                tracing::warn!(%error, "incoming_snapshot_not_written");
                None
            }
        }
    }
}
