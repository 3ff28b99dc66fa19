//! Sending content: what is in its record at once, anything larger one chunk after the other, a few read ahead.

use std::{pin::pin, sync::Arc};

use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt as _, stream};
use holdfast_domain::Reason;
use holdfast_files_api::v1::GetReply;
use holdfast_sys_core::{
    Refusal,
    module::{CHUNK_BYTES_U64, Content, ContentId, Partition},
};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::{
    homes::Transfer,
    limits::CHUNKS_AHEAD,
    name::FileName,
    pace::{Pace, too_slow},
    rows::{Body, FileRow},
};

/// The replies of a download.
pub(crate) type Replies = stream::BoxStream<'static, Result<GetReply, Status>>;

/// Finds a file and streams it from `offset`. `transfer` is held until the stream ends, or the client reads too slowly.
///
/// # Errors
/// `NotFound`, and `Malformed` for an offset past the end.
pub(crate) async fn run(
    partition: &dyn Partition,
    name: &FileName,
    offset: u64,
    transfer: Transfer,
    pace: Pace,
) -> Result<Replies, Refusal> {
    let (row, _) = FileRow::read(partition, name).await?.ok_or(Reason::NotFound)?;
    if offset > row.size {
        return Err(Reason::Malformed.into());
    }
    let (info, body) = row.parts();
    let first = GetReply { file: Some(info), data: Bytes::new() };
    let file = match body {
        Body::Inline(data) => return Ok(inline(first, data.into(), offset)),
        Body::Chunks(file) => file,
    };
    let data = chunks(partition.open(ContentId::Published(file)).await?, offset);
    let data = data.map(|data| data.map(|data| GetReply { file: None, data }).map_err(Status::from));
    Ok(paced(stream::iter([Ok(first)]).chain(data), transfer, pace))
}

/// All of it at once: it is as small as the reply of any other call, and is held for its client as such.
fn inline(first: GetReply, mut data: Bytes, offset: u64) -> Replies {
    data.advance(usize::try_from(offset).unwrap_or(usize::MAX).min(data.len()));
    stream::iter([Ok(first), Ok(GetReply { file: None, data })]).boxed()
}

/// Hands replies over to the client and ends, with a refusal, when it does not take them. This needs a task of its own: nobody asks a
/// stream for more whose client does not read.
fn paced(
    replies: impl Stream<Item = Result<GetReply, Status>> + Send + 'static,
    transfer: Transfer,
    mut pace: Pace,
) -> Replies {
    let (sender, receiver) = mpsc::channel(1);
    let (cut, was_cut) = oneshot::channel();
    tokio::spawn(async move {
        let _held = transfer;
        let mut replies = pin!(replies);
        while let Some(reply) = replies.next().await {
            let length = reply.as_ref().map_or(0, |reply| reply.data.len());
            let deadline = pace.deadline();
            match tokio::time::timeout_at(deadline, sender.send(reply)).await {
                Ok(Ok(())) => pace.moved(deadline, length),
                // The client is gone.
                Ok(Err(_)) => return,
                Err(_) => {
                    // Nobody may be listening any more.
                    let _ = cut.send(Status::from(too_slow()));
                    return;
                }
            }
        }
    });
    // Otherwise a client that was cut off would take what it has for all there is.
    let end = stream::once(was_cut).filter_map(|cut| std::future::ready(cut.ok().map(Err)));
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|reply| (reply, receiver)) })
        .chain(end)
        .boxed()
}

/// The content from `offset`, by chunks; ends after the first refusal.
pub(crate) fn chunks(
    content: Arc<dyn Content>,
    offset: u64,
) -> impl Stream<Item = Result<Bytes, Refusal>> + Send {
    let first = offset / CHUNK_BYTES_U64;
    let skip = usize::try_from(offset % CHUNK_BYTES_U64).unwrap_or(usize::MAX);
    let end = content.size().div_ceil(CHUNK_BYTES_U64);
    stream::iter(first..end)
        .map(move |index| {
            let content = Arc::clone(&content);
            async move {
                let at =
                    u32::try_from(index).map_err(|error| Refusal::new(Reason::Internal).because(error))?;
                let mut chunk = content.read_chunk(at).await?;
                if index == first {
                    chunk = chunk.slice(skip.min(chunk.len())..);
                }
                Ok(chunk)
            }
        })
        .buffered(CHUNKS_AHEAD)
        .scan(false, |failed, chunk: Result<Bytes, Refusal>| {
            let more = !std::mem::replace(failed, chunk.is_err());
            std::future::ready(more.then_some(chunk))
        })
}
