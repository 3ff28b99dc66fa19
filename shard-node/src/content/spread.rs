//! Chunks of uploads under way, from the leader to the other voters: sealed once, and on a majority before anybody is told so.
//!
//! A voter that is slow or away does not hold an upload up as long as a majority keeps pace; what it misses it fetches when the file is
//! published.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use holdfast_domain::{FileId, Reason, ReplicaId};
use holdfast_store::segments::ChunkId;
use holdfast_sys_core::{errors::Refusal, module::Op};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{SealedChunk, rows::segment_upload, staged::Spread};
use crate::{
    limits::{CHUNKS_ON_THE_WAY, MAX_FETCH_CHUNKS, SPREAD_AT_ONCE},
    machine::ChunkRef,
    partition::{HomeRef, ShardGroup, refusals},
};

/// The other replicas of a group.
#[async_trait]
pub trait ChunkPeers: Send + Sync {
    /// Gives chunks to a voter, which holds them durably on return. It applies up to `min_index` first.
    async fn put(&self, to: ReplicaId, min_index: u64, chunks: Vec<SealedChunk>) -> Result<(), Refusal>;

    /// Which of these chunks a voter does not hold durably.
    async fn lacked(&self, at: ReplicaId, ids: &[ChunkId]) -> Result<Vec<ChunkId>, Refusal>;

    /// Gets a chunk from whoever has it.
    async fn fetch(&self, id: ChunkId) -> Result<Option<SealedChunk>, Refusal>;
}

/// The way to the other replicas, and what is on it.
#[derive(Default)]
pub(crate) struct Others {
    peers: OnceLock<Arc<dyn ChunkPeers>>,
    permits: Mutex<BTreeMap<ReplicaId, Arc<Semaphore>>>,
}

impl Others {
    fn peers(&self) -> Result<Arc<dyn ChunkPeers>, Refusal> {
        let unconnected = || Refusal::new(Reason::NotReady).because("no way to the other replicas");
        self.peers.get().cloned().ok_or_else(unconnected)
    }

    fn permits(&self, to: ReplicaId) -> Arc<Semaphore> {
        let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(permits.entry(to).or_insert_with(|| Arc::new(Semaphore::new(CHUNKS_ON_THE_WAY))))
    }
}

impl ShardGroup {
    /// Sets the way to the other replicas, once.
    pub fn connect(&self, peers: Arc<dyn ChunkPeers>) {
        // A second one would be the same.
        drop(self.others.peers.set(peers));
    }

    /// The voters beside this replica, and how many of them must hold a chunk.
    fn others_needed(&self) -> (Vec<ReplicaId>, usize) {
        let voters = self.raft().status().membership.voters.clone();
        let others: Vec<_> = voters.iter().copied().filter(|id| *id != self.replica()).collect();
        (others, voters.len() / 2)
    }

    /// Makes a chunk durable here and at enough others.
    pub(super) async fn spread_chunk(&self, chunk: SealedChunk) -> Result<(), Refusal> {
        let (others, needed) = self.others_needed();
        if needed == 0 {
            return self.sync_chunks().await;
        }
        let given = self.give(others, needed, chunk);
        let (here, there) = tokio::join!(self.sync_chunks(), given);
        here.and(there)
    }

    /// Gives a chunk to all others that keep pace, and returns when enough have it. The rest goes on.
    async fn give(&self, others: Vec<ReplicaId>, needed: usize, chunk: SealedChunk) -> Result<(), Refusal> {
        let peers = self.others.peers()?;
        let min_index = self.raft().status().applied.unwrap_or_default();
        let send = |to: ReplicaId, permit: OwnedSemaphorePermit| {
            let (peers, chunk) = (Arc::clone(&peers), chunk.clone());
            let sent = tokio::spawn(async move {
                let _permit = permit;
                peers.put(to, min_index, vec![chunk]).await
            });
            async move { sent.await.unwrap_or_else(|_| Err(Reason::NotReady.into())) }
        };
        let (mut under_way, mut busy) = (FuturesUnordered::new(), Vec::new());
        for to in others {
            match self.others.permits(to).try_acquire_owned() {
                Ok(permit) => under_way.push(send(to, permit)),
                Err(_) => busy.push(to),
            }
        }
        let mut waiting: FuturesUnordered<_> = busy
            .into_iter()
            .map(|to| {
                let permits = self.others.permits(to);
                async move { permits.acquire_owned().await.ok().map(|permit| (to, permit)) }
            })
            .collect();
        let (mut done, mut last) = (0, None);
        while done < needed {
            tokio::select! {
                Some(result) = under_way.next() => match result {
                    Ok(()) => done += 1,
                    Err(refusal) => last = Some(refusal),
                },
                // Whoever does not keep pace is waited for only while it is needed.
                Some(free) = waiting.next(), if done + under_way.len() < needed => {
                    under_way.extend(free.map(|(to, permit)| send(to, permit)));
                }
                else => return Err(too_few(last)),
            }
        }
        Ok(())
    }

    /// Before a command that publishes uploads: looks whether a majority holds every chunk of them, and gives what is lacking. Who led when
    /// they came may have been another.
    pub(crate) async fn spread_uploads(&self, at: &HomeRef, ops: &[Op]) -> Result<(), Refusal> {
        let (others, needed) = self.others_needed();
        if needed == 0 {
            return Ok(());
        }
        for op in ops {
            let Op::PublishUpload(upload) = op else { continue };
            let (at, upload) = (*at, *upload);
            let staged = self.blocking(move |shard| {
                let record = shard.upload_record(&at, upload)?;
                record
                    .map(|record| Ok((record.fields.file, shard.durable_chunks(record.fields.file)?)))
                    .transpose()
            });
            // Without a row there is nothing to publish, which the decision will say.
            if let Some((file, chunks)) = staged.await? {
                self.spread_file(file, &chunks, &others, needed).await?;
            }
        }
        Ok(())
    }

    async fn spread_file(
        &self,
        file: FileId,
        chunks: &[ChunkRef],
        others: &[ReplicaId],
        needed: usize,
    ) -> Result<(), Refusal> {
        let membership = self.raft().status().membership.index;
        let ids: Vec<_> = chunks.iter().map(ChunkRef::chunk).collect();
        let mut filling: FuturesUnordered<_> =
            others.iter().map(|to| self.fill_up(file, *to, &ids)).collect();
        let (mut done, mut last) = (0, None);
        while done < needed {
            match filling.next().await {
                Some(Ok(())) => done += 1,
                Some(Err(refusal)) => last = Some(refusal),
                None => return Err(too_few(last)),
            }
        }
        drop(filling);
        let spread = Spread { chunks: chunks.len(), membership };
        *self.staged.of(file, self.segments()).spread() = Some(spread);
        Ok(())
    }

    /// Gives a voter what it lacks of a file.
    async fn fill_up(&self, file: FileId, to: ReplicaId, ids: &[ChunkId]) -> Result<(), Refusal> {
        let peers = self.others.peers()?;
        let min_index = self.raft().status().applied.unwrap_or_default();
        for some in ids.chunks(MAX_FETCH_CHUNKS) {
            let lacked = peers.lacked(to, some).await?;
            for few in lacked.chunks(SPREAD_AT_ONCE) {
                let few = few.to_vec();
                let chunks = self.blocking(move |shard| {
                    few.into_iter().map(|id| shard.staged_chunk(file, id)).collect::<Result<Vec<_>, _>>()
                });
                peers.put(to, min_index, chunks.await?).await?;
            }
        }
        Ok(())
    }

    fn staged_chunk(&self, file: FileId, id: ChunkId) -> Result<SealedChunk, Refusal> {
        let gone = || Refusal::new(Reason::Conflict).because("a chunk of the upload is gone");
        let info = self.segments().info(id).ok_or_else(gone)?;
        let sealed: Bytes = refusals::segments(self.segments().read(id))?.ok_or_else(gone)?;
        Ok(SealedChunk { id, upload: segment_upload(file), index: info.index, sealed })
    }

    /// Refuses to publish what a majority is not known to hold, all of it, and a majority of those who vote now.
    pub(super) fn require_spread(&self, file: FileId, chunks: usize) -> Result<(), Refusal> {
        if self.others_needed().1 == 0 {
            return Ok(());
        }
        let membership = self.raft().status().membership.index;
        let known = *self.staged.of(file, self.segments()).spread();
        if known == Some(Spread { chunks, membership }) {
            Ok(())
        } else {
            Err(Refusal::new(Reason::NotReady).because("the upload is not with enough replicas yet"))
        }
    }

    /// Gets a chunk that this replica lacks and keeps it.
    pub(super) async fn fetch_chunk(&self, id: ChunkId) -> Result<(), Refusal> {
        if self.raft().status().membership.voters.len() < 2 {
            return Ok(());
        }
        if let Some(chunk) = self.others.peers()?.fetch(id).await? {
            self.import_chunk(chunk).await?;
        }
        Ok(())
    }
}

fn too_few(last: Option<Refusal>) -> Refusal {
    let detail = last.map_or_else(|| "no answer".to_owned(), |refusal| refusal.to_string());
    Refusal::new(Reason::NoQuorum).because(format!("too few replicas hold the chunk: {detail}"))
}
