//! Snapshots between members: piece by piece, one in flight, the whole checked by its hash. After a break the same snapshot goes on
//! from the piece that was reached.

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
    // Names the transfer: another snapshot to the same member replaces it.
    let transfer = snapshot.number().map_err(unreadable)?;
    let bytes = snapshot.size().map_err(unreadable)?;
    let begin = Request::SnapshotBegin { vote: vote.into(), transfer, meta: MetaRecord::from(&meta), bytes };
    let reached = go_on(peer, &begin).await?;
    let mut reader = snapshot.reader().map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut index = 0;
    loop {
        let read = tokio::task::spawn_blocking(move || (reader.chunk(), reader)).await;
        let chunk;
        (chunk, reader) = read.map_err(|error| unreadable(std::io::Error::other(error)))?;
        let Some(bytes) = chunk.map_err(unreadable)? else { break };
        hash.update(&bytes);
        if index >= reached {
            go_on(peer, &Request::SnapshotChunk { transfer, index, bytes: Blob(&bytes) }).await?;
        }
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

/// Sends a piece; returns which one is wanted next.
async fn go_on(peer: &PeerCall, request: &Request<'_>) -> Result<u64, StreamingError<Types>> {
    let ready = |response: Response<'_>| match response {
        Response::SnapshotReady { next } => Some(next),
        _ => None,
    };
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

/// A snapshot on its way in. One a replica: a new one replaces it.
pub(crate) struct Incoming {
    from: ReplicaId,
    vote: VoteRecord,
    transfer: u64,
    next: u64,
    /// Bytes that may still come: what was announced, and no more.
    room: u64,
    hash: Sha256,
    file: NewSnapshot,
}

impl Incoming {
    /// Begins a file for it, if the announced bytes are within the limits and the disk has room for them: a member that is not what
    /// it seems must not fill the disks of the others. Blocking.
    pub(super) fn begin(
        snapshots: &std::sync::Arc<SnapshotStore>,
        from: ReplicaId,
        vote: VoteRecord,
        transfer: u64,
        meta: SnapshotMeta,
        bytes: u64,
    ) -> std::io::Result<Self> {
        snapshots.check_room(bytes)?;
        let file = snapshots.create(meta, false)?;
        Ok(Self { from, vote, transfer, next: 0, room: bytes, hash: Sha256::new(), file })
    }

    /// Goes on after a break, if it is the same snapshot of the same leader.
    pub(super) fn resumes(
        &mut self,
        from: ReplicaId,
        vote: VoteRecord,
        transfer: u64,
        meta: &SnapshotMeta,
    ) -> bool {
        let same = self.is(from, transfer) && self.file.meta() == meta;
        if same {
            self.vote = vote;
        }
        same
    }

    /// The piece that is wanted next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether a piece is of this transfer.
    pub(super) fn is(&self, from: ReplicaId, transfer: u64) -> bool {
        self.from == from && self.transfer == transfer
    }

    /// Takes the next piece, or sees that it has it; `None` when one is missing before it, when it is more than was announced, or the disk failed. Blocking.
    pub(super) fn add(mut self, index: u64, bytes: &[u8]) -> Option<Self> {
        if index < self.next {
            return Some(self);
        }
        if index > self.next {
            return None;
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(room) = self.room.checked_sub(length) else {
            tracing::warn!(from = %self.from, "incoming_snapshot_exceeds_its_size");
            return None;
        };
        self.room = room;
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
        let Self { from, vote, transfer: _, next, room: _, hash, file } = self;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_keys::{LocalKey, aead::Cipher, derive};

    use super::*;
    use crate::limits::MAX_SNAPSHOT_BYTES;

    fn begin(store: &Arc<SnapshotStore>, bytes: u64) -> std::io::Result<Incoming> {
        let vote = VoteRecord::from(Vote::new_committed(1, 1));
        Incoming::begin(store, ReplicaId(1), vote, 7, SnapshotMeta::default(), bytes)
    }

    #[test]
    fn a_transfer_goes_on_where_it_was_and_takes_no_piece_twice() {
        let dir = tempfile::tempdir().unwrap();
        let cipher = Cipher::new(&derive::snapshot_key(&LocalKey::from_bytes([1; 32])));
        let store = SnapshotStore::open(dir.path(), cipher, 1, 1, u64::MAX).unwrap();
        let vote = VoteRecord::from(Vote::new_committed(1, 1));
        let meta = SnapshotMeta::default();
        let mut incoming = begin(&store, 1_000).unwrap().add(0, b"one").unwrap().add(0, b"one").unwrap();
        assert!(incoming.resumes(ReplicaId(1), vote, 7, &meta));
        assert!(!incoming.resumes(ReplicaId(1), vote, 8, &meta), "another snapshot");
        assert!(!incoming.resumes(ReplicaId(2), vote, 7, &meta), "another leader");
        assert_eq!(incoming.next(), 1);
        let whole = incoming.add(1, b"two").unwrap();
        let (_, snapshot) = whole.end(2, Sha256::digest(b"onetwo").into()).unwrap();
        assert_eq!(snapshot.snapshot.reader().unwrap().chunk().unwrap().unwrap(), b"onetwo");
        assert!(begin(&store, 1_000).unwrap().add(1, b"two").is_none(), "a piece is missing");
    }

    #[test]
    fn invariant_a_piece_that_changed_on_its_way_is_never_installed() {
        let dir = tempfile::tempdir().unwrap();
        let cipher = Cipher::new(&derive::snapshot_key(&LocalKey::from_bytes([1; 32])));
        let store = SnapshotStore::open(dir.path(), cipher, 1, 1, u64::MAX).unwrap();
        let sha256: [u8; 32] = Sha256::digest([7; 300]).into();
        for bit in (0..2_400).step_by(97) {
            let mut piece = [7; 300];
            piece[bit / 8] ^= 1 << (bit % 8);
            assert!(
                begin(&store, 1_000).unwrap().add(0, &piece).unwrap().end(1, sha256).is_none(),
                "bit {bit}"
            );
        }
        assert!(begin(&store, 1_000).unwrap().add(0, &[7; 300]).unwrap().end(1, sha256).is_some());
        assert!(begin(&store, 1_000).unwrap().add(0, &[7; 300]).unwrap().end(2, sha256).is_none());
    }

    #[test]
    fn no_more_is_taken_than_was_announced_and_no_more_is_announced_than_fits() {
        let dir = tempfile::tempdir().unwrap();
        let cipher = Cipher::new(&derive::snapshot_key(&LocalKey::from_bytes([1; 32])));
        let store = SnapshotStore::open(dir.path(), cipher, 1, 1, u64::MAX).unwrap();
        let pieces =
            |bytes| begin(&store, bytes).unwrap().add(0, &[1; 600]).and_then(|got| got.add(1, &[2; 400]));
        assert!(pieces(1_000).is_some());
        assert!(pieces(999).is_none());
        assert!(begin(&store, MAX_SNAPSHOT_BYTES + 1).is_err());
        assert!(begin(&store, u64::MAX).is_err());
        let stat = rustix::fs::statvfs(dir.path()).unwrap();
        let free = stat.f_bavail * stat.f_frsize;
        assert!(begin(&store, free.min(MAX_SNAPSHOT_BYTES)).is_err(), "it would fill the disk");
        drop(begin(&store, 10).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "what was refused leaves no file");
    }
}
