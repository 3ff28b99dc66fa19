//! Receiving content: a stream of pieces of any size becomes chunks, a few of them under way at a time.
//!
//! What does not fill a chunk when the stream ends is thrown away, unless it is the file's end: the reply tells the client where to go on.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use holdfast_domain::{Reason, UploadId};
use holdfast_files_api::v1::AppendRequest;
use holdfast_sys_core::{
    Refusal,
    module::{CHUNK_BYTES, CHUNK_BYTES_U64, Partition, Upload},
};
use tokio::time::Instant;
use tonic::Status;

use crate::{
    limits::{CHUNKS_IN_FLIGHT, MAX_DATA_BYTES},
    pace::{Pace, too_slow},
};

/// The stream's next message, or its end, before `deadline`.
///
/// # Errors
/// The client's failure, `Malformed` for too much data at once, `Overloaded` for a client that sends too little.
pub(crate) async fn next<S>(messages: &mut S, deadline: Instant) -> Result<Option<AppendRequest>, Status>
where
    S: Stream<Item = Result<AppendRequest, Status>> + Unpin,
{
    let next = tokio::time::timeout_at(deadline, messages.next());
    match next.await.map_err(|_| too_slow())?.transpose()? {
        Some(message) if message.data.len() > MAX_DATA_BYTES => Err(Refusal::new(Reason::Malformed).into()),
        other => Ok(other),
    }
}

/// Stores what `first` and all later messages bring; returns the durable bytes.
///
/// # Errors
/// `UploadUnknown`, `Conflict` for an offset that is not the durable bytes, `Malformed` for more than the declared size.
pub(crate) async fn run<S>(
    partition: &dyn Partition,
    upload: UploadId,
    first: AppendRequest,
    mut messages: S,
    mut pace: Pace,
) -> Result<u64, Status>
where
    S: Stream<Item = Result<AppendRequest, Status>> + Unpin,
{
    let found = partition.upload(upload).await?.ok_or(Refusal::new(Reason::UploadUnknown))?;
    if first.offset != found.durable_bytes {
        return Err(Refusal::new(Reason::Conflict).because("not the durable offset").into());
    }
    let mut storing = FuturesUnordered::new();
    let mut result = store(partition, &found, first, &mut messages, &mut pace, &mut storing).await;
    // Chunks under way are of use even when a later one failed: the client need not send them again.
    while let Some(stored) = storing.next().await {
        result = result.and(stored.map_err(Status::from));
    }
    result?;
    let stored = partition.upload(upload).await?.ok_or(Refusal::new(Reason::UploadUnknown))?;
    Ok(stored.durable_bytes)
}

/// Chunks that are being stored.
type Storing<'a> = FuturesUnordered<BoxFuture<'a, Result<(), Refusal>>>;

/// Takes messages and begins to store their chunks; some of them are still under way when it returns.
async fn store<'a, S>(
    partition: &'a dyn Partition,
    upload: &Upload,
    first: AppendRequest,
    messages: &mut S,
    pace: &mut Pace,
    storing: &mut Storing<'a>,
) -> Result<(), Status>
where
    S: Stream<Item = Result<AppendRequest, Status>> + Unpin,
{
    let mut cutter = Cutter::new(upload)?;
    let mut message = Some(first);
    while let Some(AppendRequest { mut data, .. }) = message {
        while let Some((index, chunk)) = cutter.push(&mut data)? {
            while storing.len() >= CHUNKS_IN_FLIGHT {
                storing.try_next().await?;
            }
            storing.push(partition.put_chunk(upload.upload, index, chunk));
        }
        // The client is waited for from here on; the time that chunks take to be stored is ours.
        let deadline = pace.deadline();
        message = loop {
            // Chunks move on while we wait for the client.
            tokio::select! {
                message = next(messages, deadline) => break message?,
                Some(stored) = storing.next() => stored?,
            }
        };
        pace.moved(deadline, message.as_ref().map_or(0, |message| message.data.len()));
    }
    Ok(())
}

/// Cuts pieces into chunks.
struct Cutter {
    /// Bytes still to come in all.
    missing: u64,
    index: u32,
    pending: BytesMut,
}

impl Cutter {
    fn new(upload: &Upload) -> Result<Self, Refusal> {
        let index = u32::try_from(upload.durable_bytes / CHUNK_BYTES_U64);
        Ok(Self {
            missing: upload.size.saturating_sub(upload.durable_bytes),
            index: index.map_err(|error| Refusal::new(Reason::Internal).because(error))?,
            pending: BytesMut::new(),
        })
    }

    /// Takes from `data`; a chunk when one is full or the file complete. Call again until there is none.
    fn push(&mut self, data: &mut Bytes) -> Result<Option<(u32, Bytes)>, Refusal> {
        if data.is_empty() {
            return Ok(None);
        }
        let taken = data.split_to(data.len().min(CHUNK_BYTES - self.pending.len()));
        let length = u64::try_from(taken.len()).unwrap_or(u64::MAX);
        self.missing = self
            .missing
            .checked_sub(length)
            .ok_or_else(|| Refusal::new(Reason::Malformed).because("more bytes than were declared"))?;
        self.pending.extend_from_slice(&taken);
        if self.pending.len() < CHUNK_BYTES && self.missing > 0 {
            return Ok(None);
        }
        let chunk = (self.index, std::mem::take(&mut self.pending).freeze());
        self.index = self.index.saturating_add(1);
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use holdfast_domain::{FileId, UnixMs};
    use proptest::prelude::*;

    use super::*;

    fn upload(size: u64) -> Upload {
        Upload {
            upload: UploadId::new([1; 16]),
            file: FileId::new([2; 16]),
            size,
            durable_bytes: 0,
            tag: Vec::new(),
            expires: UnixMs(0),
        }
    }

    proptest! {
        #[test]
        fn chunks_are_full_but_the_last_however_the_pieces_are_cut(
            size in 1usize..700_000,
            pieces in prop::collection::vec(1usize..300_000, 1..8),
        ) {
            let mut cutter = Cutter::new(&upload(u64::try_from(size).unwrap())).unwrap();
            let (mut sent, mut chunks) = (0, Vec::new());
            for piece in pieces.iter().cycle() {
                let mut data = Bytes::from(vec![7; (*piece).min(size - sent)]);
                sent += data.len();
                while let Some((index, chunk)) = cutter.push(&mut data).unwrap() {
                    prop_assert_eq!(usize::try_from(index).unwrap(), chunks.len());
                    chunks.push(chunk.len());
                }
                if sent == size {
                    break;
                }
            }
            prop_assert_eq!(chunks.iter().sum::<usize>(), size);
            prop_assert!(chunks[..chunks.len() - 1].iter().all(|len| *len == CHUNK_BYTES));
            prop_assert!(cutter.push(&mut Bytes::from_static(b"x")).is_err());
        }
    }
}
