//! Sending content: one chunk after the other, a few read ahead.

use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use holdfast_domain::Reason;
use holdfast_files_api::v1::GetReply;
use holdfast_sys_core::{
    Refusal,
    module::{CHUNK_BYTES_U64, Content, ContentId, Partition},
};
use tonic::Status;

use crate::{
    homes::Transfer,
    limits::CHUNKS_AHEAD,
    name::FileName,
    rows::{Body, FileRow},
};

/// The replies of a download.
pub(crate) type Replies = stream::BoxStream<'static, Result<GetReply, Status>>;

/// Finds a file and streams it from `offset`. `transfer` is held until the stream ends.
///
/// # Errors
/// `NotFound`, and `Malformed` for an offset past the end.
pub(crate) async fn run(
    partition: &dyn Partition,
    name: &FileName,
    offset: u64,
    transfer: Transfer,
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
    let data = body.map(move |data| {
        let _held = &transfer;
        data.map(|data| GetReply { file: None, data }).map_err(Status::from)
    });
    Ok(stream::iter([Ok(file)]).chain(data).boxed())
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
