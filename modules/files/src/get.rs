//! Sending content: one chunk after the other, a few read ahead.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
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
    let body = match &row.body {
        Body::Inline(data) => {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let data = data.get(from..).unwrap_or_default().to_vec();
            stream::iter([Ok(Bytes::from(data))]).boxed()
        }
        Body::Chunks(file) => chunks(partition.open(ContentId::Published(*file)).await?, offset).boxed(),
    };
    let file = GetReply { file: Some(row.info()), data: Bytes::new() };
    let data = body.map(|data| data.map(|data| GetReply { file: None, data }).map_err(Status::from));
    Ok(paced(stream::iter([Ok(file)]).chain(data), transfer, pace))
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
